describe('kinds', () => {
  it('passes', () => { expect(1).toBe(1); });
  it('fails', () => { expect(1).toBe(2); });
  it('raises', () => { throw new Error('nothing'); });
  xit('is skipped', () => {});
  it('skips itself', () => { pending('here neither'); });
  for (const number of [1, 2, 3]) it('of numbers ' + number, () => { expect(number).not.toBe(2); });
  describe('inner', () => { it('passes', () => { expect(1).toBe(1); }); it('fails', () => { throw new Error('deeper'); }); });
  xdescribe('skipped suite', () => { it('never runs', () => {}); });
});
describe('broken before', () => {
  beforeAll(() => { throw new Error('no database'); });
  it('passes', () => { expect(1).toBe(1); });
});
describe('broken after', () => {
  afterAll(() => { throw new Error('still open'); });
  it('passes', () => { expect(1).toBe(1); });
});
