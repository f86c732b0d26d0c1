const { test } = require('node:test');

test('inner.js', () => {});
