#include <gtest/gtest.h>
#include <stdexcept>

TEST(Kinds, Passes) { RecordProperty("said", "something"); }
TEST(Kinds, Fails) { EXPECT_EQ(1, 2) << "one is not \x01 two"; EXPECT_TRUE(false); }
TEST(Kinds, Raises) { throw std::runtime_error("nothing"); }
TEST(Kinds, SkipsItself) { GTEST_SKIP() << "here neither"; }
TEST(Kinds, DISABLED_IsDisabled) { FAIL(); }
TEST(DISABLED_Whole, IsDisabled) { FAIL(); }
class Numbers : public testing::TestWithParam<int> {};
TEST_P(Numbers, OfNumbers) { EXPECT_NE(GetParam(), 2); }
INSTANTIATE_TEST_SUITE_P(Few, Numbers, testing::Values(1, 2, 3));
template <typename T> class Typed : public testing::Test {};
using Types = testing::Types<int, long>;
TYPED_TEST_SUITE(Typed, Types);
TYPED_TEST(Typed, Passes) { EXPECT_TRUE(sizeof(TypeParam)); }
class Before : public testing::Test { void SetUp() override { FAIL() << "no database"; } };
TEST_F(Before, Passes) {}
class After : public testing::Test { void TearDown() override { FAIL() << "still open"; } };
TEST_F(After, Passes) {}
class Whole : public testing::Test { public: static void SetUpTestSuite() { FAIL() << "no server"; } };
TEST_F(Whole, Passes) {}
