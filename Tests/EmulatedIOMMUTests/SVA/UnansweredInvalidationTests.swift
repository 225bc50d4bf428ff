import IOMMU
import SMMUv3
import Testing

@testable import EmulatedIOMMU
@testable import IOMMUObjects

/// A device that does not answer an invalidation fails the CMD_SYNC behind it: the command is acknowledged and tried
/// again, or dropped, and everything behind it in the queue, however short that is, is done all the same.
@Suite struct UnansweredInvalidationTests {
    /// The devices' side of the SMMU, in which one invalidation is not answered, or none from one on.
    private final class UnansweringLink: SMMUDelegate {
        private let base: any SMMUDelegate
        private let point: FailurePoint

        init(_ base: any SMMUDelegate, _ point: FailurePoint) {
            self.base = base
            self.point = point
        }

        func invalidateTranslations(_ invalidation: ATCInvalidation) -> Bool {
            let isAnswered = base.invalidateTranslations(invalidation)
            return (try? point.use()) != nil && isAnswered
        }

        func interruptRaised(_ interrupt: Interrupt) { base.interruptRaised(interrupt) }
        func stallResolved(_ resolution: StallResolution) { base.stallResolved(resolution) }
        func pageRequestAnswered(_ answer: PageRequestAnswer) { base.pageRequestAnswered(answer) }
    }

    /// Everything that makes a device with ATS forget something; the state after each step.
    private func run(
        slotBits: Int, _ point: FailurePoint, at use: Int?
    ) throws -> (states: [[String]], errors: UInt64) {
        let bench = try UnwindingBench(slotBits: slotBits)
        let context = bench.context
        let smmu = bench.backend.smmus[0]
        let link = UnansweringLink(try #require(smmu.smmu.delegate), point)
        smmu.smmu.delegate = link
        let memory = try context.createMemory(size: 1 << 20, name: nil, huge: false)
        let device = try bench.laboratory.bind("0000:01:00.0")
        let ioases = try (0..<2).map { index in
            let ioas = try context.allocateIOAS()
            let request = MapRequest(
                memory: memory, offset: UInt64(index) << 13, length: 8192, iova: 0x1000, access: [.read, .write])
            _ = try context.map(ioas: ioas, request)
            return ioas
        }
        let mm = try context.emulated.createMM()
        try context.emulated.mapMM(
            mm, va: 0x1000, memory: memory, offset: 0x8000, length: 0x8000, access: [.read, .write], populate: true)
        if let use { point.arm(after: use) }
        defer { point.disarm() }
        var (bond, pasid): (ObjectID, UInt32) = (0, 0)
        let steps: [() throws -> Void] = [
            { (bond, pasid, _) = try context.emulated.bindSVA(device: device, mm: mm) },
            { try bench.laboratory.write(device, pasid: pasid, 0x1000, [1]) },
            { _ = try context.attach(device: device, to: ioases[0], pasid: nil) },
            { try bench.laboratory.write(device, 0x1000, [2]) },
            { _ = try context.replace(device: device, with: ioases[1], pasid: nil) },
            { try bench.laboratory.write(device, 0x1000, [3]) },
            { _ = try context.unmap(ioas: ioases[1], iova: 0x1000, length: 8192) },
            { #expect(refusal { _ = try bench.laboratory.read(device, 0x1000, 1) }?.errno == .EFAULT) },
            { try context.emulated.unmapMM(mm, va: 0x2000, length: 4096) },
            { #expect(refusal { _ = try bench.laboratory.read(device, pasid: pasid, 0x2000, 1) }?.errno == .EFAULT) },
            { try context.emulated.exitMM(mm) },
            { #expect(refusal { _ = try bench.laboratory.read(device, pasid: pasid, 0x1000, 1) }?.errno == .EFAULT) },
            { _ = try context.emulated.unbindSVA(bond: bond) },
            { try context.detach(device: device, pasid: nil) },
        ]
        let states = try steps.map { step in
            try step()
            return bench.state
        }
        smmu.smmu.delegate = smmu.engine
        return (states, smmu.driver.queue.errors)
    }

    @Test(arguments: UnwindingBench.slotBits, FailureLength.allCases)
    func nothingIsStuckBehindOne(slotBits: Int, length: FailureLength) throws {
        let undisturbed = try run(slotBits: slotBits, FailurePoint(), at: nil)
        #expect(undisturbed.errors == 0)
        var use = 0
        while use < 100 {
            let point = FailurePoint(length)
            let disturbed = try run(slotBits: slotBits, point, at: use)
            #expect(disturbed.states == undisturbed.states, "invalidation \(use)")
            #expect((disturbed.errors > 0) == point.hasFired, "invalidation \(use)")
            guard point.hasFired else { break }
            use += 1
        }
        #expect(use >= 5 && use < 100, "\(use) invalidations")
    }
}
