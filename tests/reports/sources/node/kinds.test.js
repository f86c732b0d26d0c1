'use strict';
const { test, describe, it, before, after } = require('node:test');
const assert = require('node:assert');

test('passes', () => { console.log('said \u0001 something'); });
test('fails', () => { assert.strictEqual(1, 2, 'one is not two'); });
test('raises', () => { throw new Error('no\u0008thing'); });
test('is skipped', { skip: 'not now' }, () => {});
test('skips itself', (t) => { t.skip('here neither'); });
test('is to do', { todo: 'later' }, () => {});
test('is to do and fails', { todo: true }, () => { throw new Error('not yet'); });
for (const number of [1, 2, 3]) test('of numbers', () => { assert.notStrictEqual(number, 2); });
for (const number of [1, 2, 3]) test('of equals', () => { assert.ok(number); });
test('nested', async (t) => {
  await t.test('passes', () => {});
  await t.test('fails', () => { throw new Error('in there'); });
});
describe('suite', () => {
  it('passes', () => {});
  it('is skipped', { skip: true }, () => {});
  describe('inner', () => { it('passes', () => {}); it('fails', () => { throw new Error('deeper'); }); });
  describe.skip('skipped suite', () => { it('never runs', () => {}); });
});
describe('broken before', () => {
  before(() => { throw new Error('no database'); });
  it('is cancelled', () => {});
});
describe('broken after', () => {
  after(() => { throw new Error('still open'); });
  it('passes', () => {});
});
