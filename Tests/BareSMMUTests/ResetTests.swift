import IOMMU
import SMMUv3
import Testing

@testable import BareSMMU

/// What a guest's reboot leaves of an SMMU: nothing.
@Suite struct ResetTests {
    private static let pairs = GuestDriver.all.flatMap { first in GuestDriver.all.map { (first, $0) } }

    /// Firmware, then an operating system; the other way around; each of them twice.
    @Test(arguments: pairs) func theSecondDriverSeesAFreshSMMU(_ pair: (GuestDriver, GuestDriver)) throws {
        let (first, second) = pair
        for identity in [BareIdentity.standard, .linux, .full] {
            let guest = try BareGuest(identity)
            _ = try first.run(on: guest)
            try guest.models.resetVSMMU(guest.vsmmu)
            _ = guest.models.takeNotices(of: guest.vsmmu)
            let seen = try second.run(on: guest)
            let fresh = try second.run(on: BareGuest(identity))
            #expect(seen == fresh, "\(first), then \(second) on \(identity)")
        }
    }

    /// The method itself: without the reset it shows.
    @Test func withoutAResetTheSecondDriverSeesTheFirst() throws {
        let guest = try BareGuest()
        let seen = try GuestDriver.all[0].run(on: guest)
        #expect(try GuestDriver.all[0].run(on: guest) != seen)
    }

    @Test func eachIdentityIsOneAndSaysWhatItsGuestsNeed() throws {
        func words(_ identity: BareIdentity) throws -> (IDR0: UInt64, IDR1: UInt64, IDR5: UInt64, AIDR: UInt64) {
            let guest = try BareGuest(identity)
            return try (guest.read(.IDR0), guest.read(.IDR1), guest.read(.IDR5), guest.read(.AIDR))
        }
        let (HYP, MSI, ATS): (UInt64, UInt64, UInt64) = (1 << 9, 1 << 13, 1 << 10)
        for identity in [BareIdentity.standard, .linux, .small, .full] {
            #expect(try words(identity).IDR0 & (HYP | MSI | ATS) == HYP | MSI | ATS, "\(identity)")
        }
        #expect(try words(.standard).AIDR == 1)
        for identity in [BareIdentity.linux, .small, .full] { #expect(try words(identity).AIDR == 2, "\(identity)") }
        for identity in [BareIdentity.linux, .qemu, .full] {
            #expect(try words(identity).IDR5 >> 4 & 0b111 == 0b111, "\(identity)")
        }
        #expect(try words(.small).IDR0 >> 27 & 0b11 == 0 && words(.small).IDR1 & 0x3f == 6)
        #expect(try words(.qemu) == (0xd44_101b, 0x273_0010, 0x74, 1))
    }
}
