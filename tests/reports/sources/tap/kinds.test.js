const t = require('tap');
t.test('passes', t => { t.ok(1); t.ok(2, 'named'); t.end(); });
t.test('fails', t => { t.equal(1, 2); t.end(); });
t.test('raises', () => { throw new Error('nothing'); });
t.test('is skipped', { skip: 'not now' }, t => { t.end(); });
t.test('is to do', { todo: true });
t.test('nested', t => { t.test('inner', t => { t.ok(1); t.ok(1); t.end(); }); t.end(); });
t.test('asserts nothing', t => { t.end(); });
