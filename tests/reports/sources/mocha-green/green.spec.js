'use strict';
it('passes at the top', () => {});
describe('kinds', () => {
  it('passes', () => {});
  it.skip('is skipped', () => {});
  it('is to do');
  it('skips itself', function () { this.skip(); });
  for (const number of [1, 2, 3]) it('of equals', () => number);
  describe('inner', () => { it('passes', () => {}); });
  describe.skip('skipped suite', () => { it('never runs', () => {}); });
});
