import IOMMU
import SMMUv3
import Testing

@testable import EmulatedIOMMU

/// What a topology says of an SMMU is what its ID registers state.
@Suite struct IdentificationTests {
    private func words(_ change: (inout SMMUDescription) -> Void) throws -> Identification {
        var description = SMMUDescription(name: "s")
        change(&description)
        return try Identification(description)
    }

    @Test func faultModelsAndForcedWriteBack() throws {
        let plain = try words { _ in }
        #expect(plain.IDR0 >> 24 & 7 == 0 && plain.IDR3 >> 8 & 1 == 1 && plain.IDR5 >> 16 == 256)
        for model in 0...2 {
            let words = try words { $0.stallModel = model }
            #expect(words.IDR0 >> 24 & 3 == UInt32(model))
            #expect((words.IDR5 >> 16 == 0) == (model == 1))
        }
        #expect(try words { $0.stall = false }.IDR0 >> 24 & 3 == 1)
        #expect(try words { $0.terminateModel = 1 }.IDR0 >> 26 & 1 == 1)
        #expect(try words { $0.forceWriteBack = false }.IDR3 == plain.IDR3 & ~(1 << 8))
    }

    /// An SMMU of every combination comes up and translates.
    @Test(arguments: [0, 1, 2], [true, false])
    func everyCombinationWorks(_ stallModel: Int, _ forceWriteBack: Bool) throws {
        let identification = try words {
            ($0.stallModel, $0.terminateModel, $0.forceWriteBack) = (stallModel, stallModel % 2, forceWriteBack)
        }
        for kind in [PagingKind.stage1, .stage2, .nestParent] {
            let bench = try DriverTestBench(identification)
            let master = try bench.master(stall: stallModel != 1)
            let domain = try bench.driver.makePagingDomain(kind, dirtyTracking: false, pasid: false)
            try domain.map(iova: 0x1000, pa: 0x100_0000_0000, length: 0x1000, access: .read, hugePages: true)
            try bench.attach(master, domain)
            #expect(bench.output(master, 0x1234) == 0x100_0000_0234, "\(kind)")
            #expect(bench.driver.streams.entry(0x100).S2FWB == (forceWriteBack && kind == .nestParent))
        }
    }
}
