<?php
use PHPUnit\Framework\TestCase;

final class BrokenTest extends TestCase
{
    protected function tearDown(): void { throw new RuntimeException('still open'); }
    public function testPasses(): void { $this->assertTrue(true); }
    public function testFails(): void { $this->assertTrue(false); }
}
