require 'minitest/autorun'
require 'minitest/reporters'
Minitest::Reporters.use! Minitest::Reporters::JUnitReporter.new('reports')

class TestGreen < Minitest::Test
  def test_passes; assert true; end
  def test_skips_itself; skip 'here neither'; end
  def test_asserts_nothing; end
end
