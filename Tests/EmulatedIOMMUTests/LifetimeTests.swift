import IOMMU
import SMMUv3
import TestSupport
import Testing

@testable import EmulatedIOMMU
@testable import IOMMUObjects

/// Nothing outlives the backend that it belongs to.
struct LifetimeTests {
    /// What of a machine is still there.
    private struct Remains {
        weak var backend: EmulatedBackend?
        weak var machine: Machine?
        weak var driver: SMMUDriver?
        weak var smmu: SMMU<MachineMemory>?
        weak var device: EmulatedDevice?
        weak var context: ObjectContext?

        init(_ laboratory: Laboratory) throws {
            backend = laboratory.backend
            machine = laboratory.backend.machine
            let device = try laboratory.backend.device(named: "0000:03:00.0")
            (self.device, driver, smmu) = (device, device.driver, device.smmu.smmu)
            context = laboratory.context
        }

        var isNothing: Bool {
            backend == nil && machine == nil && driver == nil && smmu == nil && device == nil && context == nil
        }
    }

    @Test func aMachineGoesWithItsBackend() throws {
        let remains = try Remains(Laboratory())
        #expect(remains.isNothing, "\(remains)")
    }

    /// Attached devices, mappings, shared address spaces, and an access that waits for its page.
    @Test func whatWasInUseGoesWithIt() throws {
        func use(_ laboratory: Laboratory) throws -> Remains {
            let context = laboratory.context
            let memory = try context.createMemory(size: 1 << 20, name: nil, huge: false)
            let ioas = try context.allocateIOAS()
            _ = try context.map(
                ioas: ioas,
                MapRequest(memory: memory, offset: 0, length: 4096, iova: 0x10000, access: [.read, .write]))
            let device = try laboratory.bind("0000:03:00.0")
            let fault = try context.allocateFaultQueue()
            let hwpt = try context.allocateHWPT(HWPTRequest(device: device, pt: ioas, fault: fault))
            _ = try context.attach(device: device, to: hwpt, pasid: nil)
            try laboratory.write(device, 0x10000, [1, 2, 3])
            let mm = try context.emulated.createMM()
            _ = try context.emulated.bindSVA(device: device, mm: mm)
            _ = try context.emulated.dmaRead(device: device, pasid: nil, iova: 0x50000, length: 4) { _ in }
            return try Remains(laboratory)
        }
        let remains = try use(Laboratory())
        #expect(remains.isNothing, "\(remains)")
    }
}
