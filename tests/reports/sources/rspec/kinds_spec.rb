RSpec.describe 'kinds' do
  it('passes') { puts 'said something' }
  it('fails') { expect(1).to eq(2) }
  it('raises') { raise "no\x08thing" }
  xit('is skipped') {}
  it('is to do')
  it('skips itself') { skip 'here neither' }
  it('is pending and fails') { pending 'known'; expect(1).to eq(2) }
  it('is pending and passes') { pending 'mended'; expect(1).to eq(1) }
  [1, 2, 3].each { |number| it('of numbers') { expect(number).not_to eq(2) } }
  [1, 2, 3].each { |number| it('of equals') { expect(number).to be } }
  context('inner') { it('passes') {}; it('fails') { raise 'deeper' } }
  context('broken before') { before(:all) { raise 'no database' }; it('never runs') {} }
  context('broken after') { after { raise 'still open' }; it('passes') {}; it('fails') { raise 'first' } }
  context('broken after all') { after(:all) { raise 'still open' }; it('passes') {} }
end
