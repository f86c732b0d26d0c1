import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Disabled;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Nested;
import org.junit.jupiter.api.RepeatedTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestFactory;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import java.util.stream.Stream;

class KindsTest {
    @Test void passes() { System.out.println("said something"); }
    @Test void fails() { assertEquals(1, 2, "one is not two"); }
    @Test void raises() { throw new IllegalStateException("no\u0008thing"); }
    @Test @Disabled("not now") void isDisabled() {}
    @Test void skipsItself() { assumeTrue(false, "here neither"); }
    @ParameterizedTest @ValueSource(ints = {1, 2, 3}) void ofNumbers(int number) { assertEquals(true, number != 2); }
    @ParameterizedTest(name = "equal") @ValueSource(ints = {1, 2, 3}) void ofEquals(int number) {}
    @RepeatedTest(2) void isRepeated() {}
    @TestFactory Stream<DynamicTest> dynamic() { return Stream.of("a", "a").map(name -> DynamicTest.dynamicTest(name, () -> {})); }
    @Nested class Inner {
        @Test void passes() {}
        @Test void fails() { assertEquals(1, 2); }
    }
    @Nested class BrokenAfter {
        @AfterEach void close() { throw new IllegalStateException("still open"); }
        @Test void passes() {}
    }
    @Nested @Disabled("the whole of it") class DisabledClass {
        @Test void neverRuns() {}
    }
}
