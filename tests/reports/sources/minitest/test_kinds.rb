require 'minitest/autorun'
require 'minitest/reporters'
Minitest::Reporters.use! Minitest::Reporters::JUnitReporter.new('reports')

class TestKinds < Minitest::Test
  def test_passes; assert true; end
  def test_fails; assert_equal 1, 2, 'one is not two'; end
  def test_raises; raise "no\x08thing"; end
  def test_skips_itself; skip 'here neither'; end
  def test_asserts_nothing; end
end

class TestBroken < Minitest::Test
  def teardown; raise 'still open'; end
  def test_passes; assert true; end
  def test_fails; assert false; end
end

describe 'spec' do
  it('passes') { _(1).must_equal 1 }
  describe('inner') { it('fails') { _(1).must_equal 2 } }
end
