import IOMMU
import Testing

@testable import EmulatedIOMMU
@testable import IOMMUObjects

@Suite struct DMAEngineTests {
    private func attached(_ laboratory: Laboratory, _ name: String) throws -> (
        device: ObjectID, ioas: ObjectID, memory: ObjectID
    ) {
        let context = laboratory.context
        let device = try laboratory.bind(name)
        let ioas = try context.allocateIOAS()
        let memory = try context.createMemory(size: 1 << 20, name: nil, huge: false)
        _ = try context.attach(device: device, to: ioas, pasid: nil)
        return (device, ioas, memory)
    }

    @Test(arguments: ["0000:04:00.0", "0000:01:00.0", "0000:03:00.0", "0001:01:00.0"])
    func dataCrossesPages(name: String) throws {
        let laboratory = try Laboratory()
        let (device, ioas, memory) = try attached(laboratory, name)
        // Neighbours in the IOAS that are not neighbours in memory.
        for page in 0..<4 as Range<UInt64> {
            _ = try laboratory.context.map(
                ioas: ioas,
                MapRequest(
                    memory: memory, offset: (3 - page) << 12, length: 4096, iova: 0x10_0000 + page << 12,
                    access: [.read, .write]))
        }
        let bytes = (0..<12_000).map { UInt8(truncatingIfNeeded: $0 &* 7) }
        try laboratory.write(device, 0x10_0100, bytes)
        #expect(try laboratory.read(device, 0x10_0100, 12_000) == bytes)
        #expect(try laboratory.context.readMemory(memory, offset: 0x3100, length: 16) == Array(bytes[..<16]))
        #expect(try laboratory.context.readMemory(memory, offset: 0x2000, length: 16) == Array(bytes[0xf00..<0xf10]))
    }

    @Test(arguments: ["0000:04:00.0", "0000:01:00.0", "0000:03:00.0"])
    func theFirstFailingByteIsReportedAndNothingIsWritten(name: String) throws {
        let laboratory = try Laboratory()
        let (device, ioas, memory) = try attached(laboratory, name)
        _ = try laboratory.context.map(
            ioas: ioas,
            MapRequest(
                memory: memory, offset: 0, length: 4096, iova: 0x1000, access: [.read, .write]))
        _ = try laboratory.context.map(
            ioas: ioas,
            MapRequest(
                memory: memory, offset: 4096, length: 4096, iova: 0x3000, access: .read))
        let missing = refusal { try laboratory.write(device, 0x1ff0, [UInt8](repeating: 1, count: 32)) }
        #expect(missing?.errno == .EFAULT)
        #expect(missing?.eventType == "F_TRANSLATION")
        guard case .object(let members)? = missing?.member("event") else { return #expect(Bool(false)) }
        #expect(members.first { $0.key == "address" }?.value == .hex(0x2000))
        #expect(members.contains { $0.key == "stream_id" } && members.contains { $0.key == "record" })
        #expect(
            try laboratory.context.readMemory(memory, offset: 0xff0, length: 16) == [UInt8](repeating: 0, count: 16))
        let readOnly = refusal { try laboratory.write(device, 0x3000, [1]) }
        #expect(readOnly?.eventType == "F_PERMISSION")
    }

    @Test func blockedDevicesAreRefusedWithoutARecord() throws {
        let laboratory = try Laboratory()
        let device = try laboratory.bind("0000:04:00.0")
        let error = refusal { _ = try laboratory.read(device, 0, 1) }
        #expect(error?.errno == .EFAULT)
        #expect(error?.reason == .blocked)
        #expect(error?.member("event") == nil)
    }

    @Test func requestsAreBounded() throws {
        let laboratory = try Laboratory()
        let (device, _, _) = try attached(laboratory, "0000:04:00.0")
        #expect(refusal { _ = try laboratory.read(device, 0, 0) }?.errno == .EINVAL)
        #expect(refusal { _ = try laboratory.read(device, 0, 1 << 40) }?.errno == .EINVAL)
        #expect(refusal { _ = try laboratory.read(device, .max, 2) }?.errno == .EOVERFLOW)
        #expect(refusal { _ = try laboratory.read(device, pasid: 1 << 20, 0, 1) }?.errno == .EINVAL)
        #expect(refusal { _ = try laboratory.read(99, 0, 1) }?.errno == .ENOENT)
        #expect(refusal { _ = try laboratory.read(device, pasid: 3, 0, 1) }?.eventType == "C_BAD_SUBSTREAMID")
    }

    @Test(arguments: ["0000:01:00.0", "0000:03:00.0"])
    func aFaultQueueParksTheAccess(name: String) throws {
        let laboratory = try Laboratory()
        let context = laboratory.context
        let device = try laboratory.bind(name)
        let ioas = try context.allocateIOAS()
        let memory = try context.createMemory(size: 8192, name: nil, huge: false)
        let fault = try context.allocateFaultQueue()
        let hwpt = try context.allocateHWPT(HWPTRequest(device: device, pt: ioas, fault: fault))
        _ = try context.attach(device: device, to: hwpt, pasid: nil)

        let box = Box<UInt64>()
        guard
            case .pending = try context.emulated.dmaWrite(
                device: device, pasid: nil, iova: 0x5ffe, bytes: [1, 2, 3, 4], completion: box.take)
        else { return #expect(Bool(false), "the access waits") }
        for page in [0x5000, 0x6000] as [UInt64] {
            let faults = try context.readFaults(fault, max: 8)
            #expect(faults.count == 1)
            #expect((faults.first?.address ?? 0) & ~0xfff == page)
            #expect(faults.first?.permissions.contains("write") == true)
            _ = try context.map(
                ioas: ioas,
                MapRequest(
                    memory: memory, offset: page - 0x5000, length: 4096, iova: page, access: [.read, .write]))
            #expect(box.result == nil)
            let cookie = try #require(faults.first?.cookie)
            #expect(try context.respond(fault: fault, [FaultResponse(cookie: cookie, success: true)]) == 1)
            laboratory.executor.drain()
        }
        #expect(try box.result?.get() == 4)
        #expect(try context.readMemory(memory, offset: 0xffe, length: 4) == [1, 2, 3, 4])

        let refused = Box<UInt64>()
        _ = try context.emulated.dmaWrite(
            device: device, pasid: nil, iova: 0x9000, bytes: [1], completion: refused.take)
        let cookie = try #require(try context.readFaults(fault, max: 8).first?.cookie)
        _ = try context.respond(fault: fault, [FaultResponse(cookie: cookie, success: false)])
        laboratory.executor.drain()
        #expect(refusal { _ = try refused.result?.get() }?.errno == .EFAULT)
    }

    @Test func aWaitingAccessCanBeTerminated() throws {
        let laboratory = try Laboratory()
        let context = laboratory.context
        let device = try laboratory.bind("0000:03:00.0")
        let ioas = try context.allocateIOAS()
        let fault = try context.allocateFaultQueue()
        let hwpt = try context.allocateHWPT(HWPTRequest(device: device, pt: ioas, fault: fault))
        _ = try context.attach(device: device, to: hwpt, pasid: nil)
        let box = Box<[UInt8]>()
        guard
            case .pending(let access) = try context.emulated.dmaRead(
                device: device, pasid: nil, iova: 0, length: 4, completion: box.take)
        else { return #expect(Bool(false), "the access waits") }
        context.emulated.terminate(
            access: access, with: IOMMUError(.ETIMEDOUT, .accessTimedOut, "too late", hint: "this is a test"))
        #expect(refusal { _ = try box.result?.get() }?.errno == .ETIMEDOUT)
        context.emulated.terminate(
            access: access, with: IOMMUError(.ETIMEDOUT, .accessTimedOut, "too late", hint: "this is a test"))
        let cookie = try #require(try context.readFaults(fault, max: 8).first?.cookie)
        _ = try context.respond(fault: fault, [FaultResponse(cookie: cookie, success: true)])
        laboratory.executor.drain()
    }

    @Test func theChecksumIsThatOfZlib() {
        var sum = CRC32()
        Array("123456789".utf8).withUnsafeBytes { sum.update($0) }
        #expect(sum.value == 0xcbf4_3926)
        var parts = CRC32()
        let bytes = (0..<1000).map { UInt8(truncatingIfNeeded: $0) }
        bytes.withUnsafeBytes { whole in
            parts.update(UnsafeRawBufferPointer(rebasing: whole[..<333]))
            parts = CRC32(parts.value)
            parts.update(UnsafeRawBufferPointer(rebasing: whole[333...]))
        }
        var whole = CRC32()
        bytes.withUnsafeBytes { whole.update($0) }
        #expect(parts.value == whole.value)
    }
}
