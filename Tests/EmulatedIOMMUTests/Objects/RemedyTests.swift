import IOMMU
import Testing

@testable import EmulatedIOMMU
@testable import IOMMUObjects

/// Refusals say what to do instead.
@Suite struct RemedyTests {
    let laboratory: ObjectLaboratory
    let context: ObjectContext

    init() throws {
        laboratory = try ObjectLaboratory()
        context = laboratory.context
    }

    private func expectRemedy(
        _ reason: Reason, sourceLocation: SourceLocation = #_sourceLocation, _ body: () throws -> Void
    ) {
        let error = #expect(throws: IOMMUError.self, sourceLocation: sourceLocation) { try body() }
        #expect(error?.reason == reason, sourceLocation: sourceLocation)
        #expect(error?.hint.isEmpty == false, "\(reason)", sourceLocation: sourceLocation)
    }

    @Test func ofMappings() throws {
        let (ioas, memory) = (try context.allocateIOAS(), try laboratory.memory())
        try laboratory.map(ioas, memory, at: 0, access: .read)
        expectRemedy(.noAccess) { try laboratory.map(ioas, memory, at: 0x1000, access: []) }
        expectRemedy(.alreadyMapped) { try laboratory.map(ioas, memory, at: 0) }
        expectRemedy(.notMapped) { _ = try context.unmap(ioas: ioas, iova: 0x8000, length: 4096) }
        expectRemedy(.wouldSplitMapping) { _ = try context.unmap(ioas: ioas, iova: 0, length: 1) }
        expectRemedy(.zeroLength) { _ = try context.unmap(ioas: ioas, iova: 0, length: 0) }
        for (length, access, reason) in [(8192, .read, .notMapped), (4096, .write, .copyAddsWrite)]
            as [(UInt64, IOMMU.Access, Reason)]
        {
            expectRemedy(reason) {
                _ = try context.copy(from: ioas, iova: 0, length: length, to: ioas, iova: nil, access: access)
            }
        }
    }

    @Test func ofAttachments() throws {
        let ioas = try context.allocateIOAS()
        let device = try laboratory.bind(ObjectLaboratory.reserving)
        let wide = try laboratory.bind(ObjectLaboratory.wide)
        let hwpt = try context.allocateHWPT(HWPTRequest(device: device, pt: ioas, flags: .pasid))
        expectRemedy(.alreadyBound) { _ = try laboratory.bind(ObjectLaboratory.wide) }
        expectRemedy(.noPASID) { _ = try context.attach(device: device, to: hwpt, pasid: 1) }
        expectRemedy(.badPASID) { _ = try context.attach(device: wide, to: hwpt, pasid: 1 << 16) }
        for flags in [[.nestParent, .pasid], [.nestParent, .dirtyTracking]] as [HWPTFlags] {
            expectRemedy(.flagsUnsupported) {
                _ = try context.allocateHWPT(HWPTRequest(device: device, pt: ioas, flags: flags))
            }
        }
    }

    @Test func ofVirtualIOMMUs() throws {
        let ioas = try context.allocateIOAS()
        let (device, second) = (try laboratory.bind(ObjectLaboratory.pci), try laboratory.bind(ObjectLaboratory.wide))
        let other = try laboratory.bind(ObjectLaboratory.other)
        let parent = try context.allocateHWPT(HWPTRequest(device: device, pt: ioas, flags: .nestParent))
        let viommu = try context.allocateVIOMMU(device: device, hwpt: parent, type: "arm_smmuv3")
        func give(_ device: ObjectID, _ id: UInt64) throws {
            _ = try context.allocateVDevice(viommu: viommu, device: device, virtualID: id)
        }
        func queue() throws { _ = try context.allocateVEventQueue(viommu: viommu, type: "arm_smmuv3", depth: 1) }
        try give(device, 7)
        try queue()
        expectRemedy(.vdeviceExists) { try give(device, 8) }
        expectRemedy(.virtualIDTaken) { try give(second, 7) }
        expectRemedy(.otherSMMU) { try give(other, 8) }
        expectRemedy(.veventqExists) { try queue() }
        expectRemedy(.unknownVirtualID) {
            _ = try context.invalidate(target: viommu, type: "arm_smmuv3", entries: [(0x6 | 9 << 32, 0)])
        }
        expectRemedy(.wrongKind) { _ = try context.invalidate(target: ioas, type: "arm_smmuv3", entries: []) }
    }
}
