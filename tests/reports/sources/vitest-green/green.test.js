import { describe, expect, it, test } from 'vitest';
test('passes', () => {});
test.skip('is skipped', () => {});
test.todo('is to do');
test.fails('fails as expected', () => { throw new Error('known'); });
it.each([1, 2, 3])('of equals', () => {});
let tries = 0;
test('is flaky', { retry: 2 }, () => { tries += 1; expect(tries).toBe(2); });
describe('suite', () => { describe('inner', () => { it('passes', () => {}); it.skip('is skipped', () => {}); }); });
