#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>
#include <stdexcept>

TEST_CASE("passes") { REQUIRE(true); }
TEST_CASE("fails") { CHECK(1 == 2); CHECK(2 == 3); }
TEST_CASE("raises") { throw std::runtime_error("nothing"); }
TEST_CASE("is skipped" * doctest::skip()) { FAIL(""); }
TEST_CASE("fails as expected" * doctest::should_fail()) { REQUIRE(false); }
TEST_CASE("passes unexpectedly" * doctest::should_fail()) { REQUIRE(true); }
TEST_CASE("may fail" * doctest::may_fail()) { REQUIRE(false); }
TEST_CASE_TEMPLATE("typed", T, int, long) { CHECK(sizeof(T)); }
TEST_CASE("nested") {
  SUBCASE("passes") { REQUIRE(true); }
  SUBCASE("inner") { SUBCASE("fails") { REQUIRE(false); } SUBCASE("passes") { REQUIRE(true); } }
}
