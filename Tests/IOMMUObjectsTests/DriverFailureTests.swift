import IOMMU
import Testing

@testable import IOMMUObjects

/// Whatever step of a driver fails, nothing has changed; and what it made is given back in the end.
@Suite struct DriverFailureTests {
    /// A call, and what has to be there before it.
    struct Attempt: CustomTestStringConvertible, Sendable {
        let testDescription: String
        let prepare: @Sendable (ObjectLaboratory) throws -> [ObjectID]
        let call: @Sendable (ObjectLaboratory, [ObjectID]) throws -> Void
    }

    static let attempts = [
        Attempt(testDescription: "map into two tables") { laboratory in
            let ioas = try laboratory.context.allocateIOAS()
            for name in [ObjectLaboratory.pci, ObjectLaboratory.other] {
                _ = try laboratory.context.attach(device: laboratory.bind(name), to: ioas, pasid: nil)
            }
            let device = try laboratory.bind(ObjectLaboratory.wide)
            let second = try laboratory.context.allocateHWPT(HWPTRequest(device: device, pt: ioas))
            return [ioas, try laboratory.memory(), second]
        } call: { laboratory, ids in
            try laboratory.map(ids[0], ids[1], at: 0x1000)
        },
        Attempt(testDescription: "attach a pair to an IOAS with mappings") { laboratory in
            let ioas = try laboratory.context.allocateIOAS()
            let memory = try laboratory.memory()
            for page in 0..<3 as Range<UInt64> { try laboratory.map(ioas, memory, at: page << 13) }
            let device = try laboratory.bind(ObjectLaboratory.pairFirst)
            return [ioas, device, try laboratory.bind(ObjectLaboratory.pairSecond)]
        } call: { laboratory, ids in
            _ = try laboratory.context.attach(device: ids[1], to: ids[0], pasid: nil)
        },
        Attempt(testDescription: "replace the table of a pair") { laboratory in
            let (old, new) = (try laboratory.context.allocateIOAS(), try laboratory.context.allocateIOAS())
            try laboratory.map(new, try laboratory.memory(), at: 0)
            let device = try laboratory.bind(ObjectLaboratory.pairFirst)
            _ = try laboratory.context.attach(device: device, to: old, pasid: nil)
            return [new, device]
        } call: { laboratory, ids in
            _ = try laboratory.context.replace(device: ids[1], with: ids[0], pasid: nil)
        },
        Attempt(testDescription: "nest") { laboratory in
            let ioas = try laboratory.context.allocateIOAS()
            let device = try laboratory.bind(ObjectLaboratory.wide)
            let parent = try laboratory.context.allocateHWPT(HWPTRequest(device: device, pt: ioas, flags: .nestParent))
            return [device, try laboratory.context.allocateVIOMMU(device: device, hwpt: parent, type: "mock")]
        } call: { laboratory, ids in
            let (context, device, viommu) = (laboratory.context, ids[0], ids[1])
            let vdevice = try context.allocateVDevice(viommu: viommu, device: device, virtualID: 5)
            do {
                let nested = try context.allocateHWPT(HWPTRequest(device: device, pt: viommu, vste: (1, 0)))
                do {
                    _ = try context.attach(device: device, to: nested, pasid: nil)
                } catch {
                    try context.destroy(object: nested)
                    throw error
                }
            } catch {
                try context.destroy(object: vdevice)
                throw error
            }
        },
    ]

    @Test(arguments: attempts)
    func nothingChanges(_ attempt: Attempt) throws {
        var failures = 0
        while failures < 100 {
            let laboratory = try ObjectLaboratory()
            let ids = try attempt.prepare(laboratory)
            let before = laboratory.snapshot
            for driver in laboratory.backend.drivers.values { driver.stepsToFailure = failures }
            do {
                try attempt.call(laboratory, ids)
                break
            } catch let error as IOMMUError {
                #expect(error.reason == .noTableMemory)
            }
            failures += 1
            #expect(laboratory.snapshot == before, "step \(failures)")
            for driver in laboratory.backend.drivers.values { driver.stepsToFailure = nil }
            try attempt.call(laboratory, ids)
            #expect(laboratory.snapshot != before)
            laboratory.context.close()
            expectNothingLeft(in: laboratory)
        }
        #expect((2..<100).contains(failures), "\(failures) steps can fail")
    }

    private func expectNothingLeft(in laboratory: ObjectLaboratory) {
        #expect(laboratory.context.isEmpty && laboratory.backend.places.isEmpty)
        #expect(Account.Resource.allCases.allSatisfy { laboratory.account.used($0) == 0 })
        for driver in laboratory.backend.drivers.values { #expect(driver.domains == 0 && driver.slices == 0) }
        for device in laboratory.backend.registry.devices {
            #expect(device.boundBy == nil && device.group.owner == nil && device.group.attachments.isEmpty)
            #expect((try? laboratory.backend.port(device.name))?.targets.isEmpty == true)
        }
    }
}
