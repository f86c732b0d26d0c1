import { afterAll, beforeEach, describe, expect, it, test } from 'vitest';

test('passes', () => { console.log('said \u0001 something'); });
test('fails', () => { expect(1).toBe(2); });
test('raises', () => { throw new Error('no\u0008thing'); });
test.skip('is skipped', () => {});
test('skips itself', (context) => { context.skip(); });
test.todo('is to do');
test.fails('fails as expected', () => { throw new Error('known'); });
test.fails('passes unexpectedly', () => {});
it.each([1, 2, 3])('of numbers', (number) => { expect(number).not.toBe(2); });
it.each([1, 2, 3])('of equals', (number) => { expect(number).toBeTruthy(); });
let tries = 0;
test('is flaky', { retry: 2 }, () => { tries += 1; expect(tries).toBe(2); });
test('is repeated', { repeats: 2 }, () => {});
describe('suite', () => {
  it('passes', () => {});
  describe('inner', () => { it('passes', () => {}); it('fails', () => { throw new Error('deeper'); }); });
  describe.skip('skipped suite', () => { it('never runs', () => {}); });
});
describe('broken before', () => {
  beforeEach(() => { throw new Error('no database'); });
  it('passes', () => {});
});
describe('broken after', () => {
  afterAll(() => { throw new Error('still open'); });
  it('passes', () => {});
});
