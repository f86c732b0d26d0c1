#define BOOST_TEST_MODULE kinds
#include <boost/test/included/unit_test.hpp>
#include <boost/test/data/test_case.hpp>
namespace utf = boost::unit_test;

BOOST_AUTO_TEST_CASE(passes) { BOOST_TEST(true); }
BOOST_AUTO_TEST_CASE(fails) { BOOST_TEST(1 == 2); BOOST_TEST(2 == 3); }
BOOST_AUTO_TEST_CASE(raises) { throw std::runtime_error("nothing"); }
BOOST_AUTO_TEST_CASE(is_disabled, *utf::disabled()) { BOOST_TEST(false); }
BOOST_AUTO_TEST_CASE(fails_as_expected, *utf::expected_failures(1)) { BOOST_TEST(false); }
BOOST_AUTO_TEST_CASE(asserts_nothing) {}
BOOST_DATA_TEST_CASE(of_numbers, utf::data::make({1, 2, 3}), number) { BOOST_TEST(number != 2); }
BOOST_AUTO_TEST_SUITE(suite)
BOOST_AUTO_TEST_CASE(passes) { BOOST_TEST(true); }
BOOST_AUTO_TEST_SUITE(inner)
BOOST_AUTO_TEST_CASE(fails) { BOOST_TEST(false); }
BOOST_AUTO_TEST_SUITE_END()
BOOST_AUTO_TEST_SUITE_END()
BOOST_AUTO_TEST_CASE(depends, *utf::depends_on("fails")) { BOOST_TEST(true); }
