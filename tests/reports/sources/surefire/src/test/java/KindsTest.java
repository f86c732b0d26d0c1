import static org.junit.Assert.assertEquals;
import static org.junit.Assume.assumeTrue;

import org.junit.After;
import org.junit.BeforeClass;
import org.junit.Ignore;
import org.junit.Test;
import org.junit.experimental.runners.Enclosed;
import org.junit.runner.RunWith;
import org.junit.runners.Parameterized;
import org.junit.runners.Parameterized.Parameters;

@RunWith(Enclosed.class)
public class KindsTest {
    public static class Plain {
        private static int tries = 0;

        @Test public void passes() { System.out.println("said something"); }
        @Test public void fails() { assertEquals("one is not two", 1, 2); }
        @Test public void raises() { throw new IllegalStateException("no\u0008thing"); }
        @Test @Ignore("not now") public void isIgnored() {}
        @Test public void skipsItself() { assumeTrue("here neither", false); }
        @Test(expected = IllegalStateException.class) public void failsAsExpected() { throw new IllegalStateException(); }
        @Test public void isFlaky() { tries += 1; assertEquals(2, tries); }
    }

    @RunWith(Parameterized.class)
    public static class OfNumbers {
        private final int number;
        public OfNumbers(int number) { this.number = number; }
        @Parameters public static Object[] numbers() { return new Object[] {1, 2, 3}; }
        @Test public void isNotTwo() { assertEquals(true, number != 2); }
    }

    @RunWith(Parameterized.class)
    public static class OfEquals {
        public OfEquals(int number) {}
        @Parameters(name = "equal") public static Object[] numbers() { return new Object[] {1, 2, 3}; }
        @Test public void passes() {}
    }

    public static class BrokenAfter {
        @After public void close() { throw new IllegalStateException("still open"); }
        @Test public void passes() {}
        @Test public void fails() { assertEquals(1, 2); }
    }

    public static class BrokenClass {
        @BeforeClass public static void open() { throw new IllegalStateException("no server"); }
        @Test public void passes() {}
    }

    @Ignore("the whole of it")
    public static class IgnoredClass {
        @Test public void neverRuns() {}
    }
}
