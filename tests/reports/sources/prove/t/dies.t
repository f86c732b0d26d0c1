use Test::More tests => 2;
ok(1, 'passes');
die "nothing\n";
