RSpec.describe 'kinds' do
  it('passes') {}
  xit('is skipped') {}
  it('is pending and fails') { pending 'known'; expect(1).to eq(2) }
  [1, 2, 3].each { |number| it('of equals') { expect(number).to be } }
  context('inner') { it('passes') {} }
end
