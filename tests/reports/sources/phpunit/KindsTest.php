<?php
use PHPUnit\Framework\TestCase;

final class KindsTest extends TestCase
{
    public function testPasses(): void { echo "said something"; $this->assertTrue(true); }
    public function testFails(): void { $this->assertSame(1, 2, 'one is not two'); }
    public function testRaises(): void { throw new RuntimeException("no\x08thing"); }
    public function testSkipsItself(): void { $this->markTestSkipped('here neither'); }
    public function testIsIncomplete(): void { $this->markTestIncomplete('later'); }
    public function testIsRisky(): void {}
    /** @dataProvider numbers */
    public function testOfNumbers(int $number): void { $this->assertNotSame(2, $number); }
    public function numbers(): array { return [[1], [2], [3]]; }
    /** @dataProvider broken */
    public function testOfBroken(int $number): void {}
    public function broken(): array { throw new RuntimeException('no numbers'); }
    /** @depends testFails */
    public function testDepends(): void { $this->assertTrue(true); }
}
