use Test::More skip_all => 'not now';
