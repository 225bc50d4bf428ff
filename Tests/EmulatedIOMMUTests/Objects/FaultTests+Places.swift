import IOMMU
import Testing

@testable import EmulatedIOMMU
@testable import IOMMUObjects

/// More accesses that wait than an SMMU has places for.
extension FaultTests {
    /// There are 256 places for stalls, and 512 page request groups of a device: whoever finds none waits for one.
    @Test(arguments: [ObjectLaboratory.stalling, ObjectLaboratory.pci])
    func moreAccessesThanPlacesAllWait(name: String) throws {
        let (device, _) = try attached(name)
        let accesses = try (0..<600).map { try read(device, 0x10_0000 + UInt64($0) << 12) }
        #expect(accesses.allSatisfy { $0.result == nil })
        var addresses: [UInt64] = []
        while addresses.count < 600 {
            let faults = try context.readFaults(queue, max: 4096)
            try #require(!faults.isEmpty)
            addresses += faults.map(\.address)
            _ = try context.respond(fault: queue, faults.map { FaultResponse(cookie: $0.cookie, success: false) })
            laboratory.executor.drain()
        }
        #expect(addresses == (0..<600).map { 0x10_0000 + UInt64($0) << 12 })
        #expect(accesses.allSatisfy { $0.result != nil })
    }

    @Test(arguments: [ObjectLaboratory.stalling, ObjectLaboratory.pci])
    func whatWaitsForAPlaceEndsWithTheAttachment(name: String) throws {
        let (device, _) = try attached(name)
        let accesses = try (0..<600).map { try read(device, 0x10_0000 + UInt64($0) << 12) }
        try context.detach(device: device, pasid: nil)
        laboratory.executor.drain()
        #expect(accesses.allSatisfy { $0.result != nil })
        // The places are there again.
        let hwpt = try context.allocateHWPT(HWPTRequest(device: device, pt: ioas, fault: queue))
        _ = try context.attach(device: device, to: hwpt, pasid: nil)
        let next = try read(device, 0x5000)
        #expect(next.result == nil)
        #expect(try context.readFaults(queue, max: 64).map(\.address) == [0x5000])
    }

    /// Held back by others' stalls, and detached meanwhile: nobody gives it a place, and nobody has to.
    @Test func whatOthersKeepWaitingEndsWithItsAttachmentToo() throws {
        let (first, _) = try attached(ObjectLaboratory.stalling)
        for page in 0..<300 { _ = try read(first, 0x10_0000 + UInt64(page) << 12) }
        let (second, _) = try attached(ObjectLaboratory.wide)
        let access = try read(second, 0x5000)
        #expect(access.result == nil)
        try context.detach(device: second, pasid: nil)
        laboratory.executor.drain()
        #expect(throws: IOMMUError.self) { try #require(access.result).get() }
    }
}
