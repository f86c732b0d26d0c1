describe('kinds', () => {
  it('passes', () => { expect(1).toBe(1); });
  xit('is skipped', () => {});
  it('skips itself', () => { pending('here neither'); });
  describe('inner', () => { it('passes', () => { expect(1).toBe(1); }); });
  xdescribe('skipped suite', () => { it('never runs', () => {}); });
});
