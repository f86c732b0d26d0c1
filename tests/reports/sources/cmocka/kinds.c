#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

static void passes(void **state) { (void)state; assert_true(1); }
static void fails(void **state) { (void)state; assert_int_equal(1, 2); }
static void skips_itself(void **state) { (void)state; skip(); }
static int broken(void **state) { (void)state; return -1; }
int main(void) {
  const struct CMUnitTest kinds[] = {
    cmocka_unit_test(passes), cmocka_unit_test(fails), cmocka_unit_test(skips_itself),
    cmocka_unit_test_setup(passes, broken), cmocka_unit_test_teardown(passes, broken)};
  const struct CMUnitTest green[] = {cmocka_unit_test(passes), cmocka_unit_test(passes)};
  int failed = cmocka_run_group_tests(kinds, NULL, NULL);
  return failed + cmocka_run_group_tests(green, NULL, NULL);
}
