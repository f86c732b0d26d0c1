const t = require('tap');
t.ok(1);
