#define CATCH_CONFIG_MAIN
#include <catch2/catch.hpp>
#include <stdexcept>

TEST_CASE("passes") { REQUIRE(true); }
TEST_CASE("fails") { CHECK(1 == 2); CHECK(2 == 3); }
TEST_CASE("raises") { throw std::runtime_error("nothing"); }
TEST_CASE("is hidden", "[.]") { FAIL(); }
TEST_CASE("fails as expected", "[!shouldfail]") { REQUIRE(false); }
TEST_CASE("passes unexpectedly", "[!shouldfail]") { REQUIRE(true); }
TEST_CASE("may fail", "[!mayfail]") { REQUIRE(false); }
TEST_CASE("of numbers") { auto number = GENERATE(1, 2, 3); CHECK(number != 2); }
TEST_CASE("nested") {
  SECTION("passes") { REQUIRE(true); }
  SECTION("inner") { SECTION("fails") { REQUIRE(false); } SECTION("passes") { REQUIRE(true); } }
}
