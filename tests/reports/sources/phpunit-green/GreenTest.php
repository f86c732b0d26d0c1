<?php
use PHPUnit\Framework\TestCase;

final class GreenTest extends TestCase
{
    public function testPasses(): void { $this->assertTrue(true); }
    public function testSkipsItself(): void { $this->markTestSkipped('here neither'); }
    public function testIsIncomplete(): void { $this->markTestIncomplete('later'); }
    /** @dataProvider numbers */
    public function testOfNumbers(int $number): void { $this->assertLessThan(4, $number); }
    public function numbers(): array { return [[1], [2], [3]]; }
}
