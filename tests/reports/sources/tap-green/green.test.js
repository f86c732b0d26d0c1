const t = require('tap');
t.test('passes', t => { t.ok(1); t.ok(2, 'named'); t.end(); });
t.test('nested', t => { t.test('inner', t => { t.ok(1); t.ok(1); t.end(); }); t.end(); });
