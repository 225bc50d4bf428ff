import IOMMU
import TestSupport
import Testing

@testable import EmulatedIOMMU
@testable import IOMMUObjects

@Suite struct FaultTests {
    let laboratory: ObjectLaboratory
    let context: ObjectContext
    let ioas: ObjectID
    let memory: ObjectID
    let queue: ObjectID

    init() throws {
        laboratory = try ObjectLaboratory()
        context = laboratory.context
        ioas = try context.allocateIOAS()
        memory = try laboratory.memory()
        queue = try context.allocateFaultQueue()
    }

    /// A read of the device that is not done yet; nil results have not come.
    final class Access {
        var result: Result<[UInt8], IOMMUError>?
    }

    func read(_ device: ObjectID, _ iova: UInt64, pasid: UInt32? = nil) throws -> Access {
        let access = Access()
        switch try context.emulated.dmaRead(
            device: device, pasid: pasid, iova: iova, length: 4, completion: { access.result = $0 })
        {
        case .done(let bytes): access.result = .success(bytes)
        case .pending: break
        }
        return access
    }

    func attached(_ name: String, flags: HWPTFlags = []) throws -> (device: ObjectID, hwpt: ObjectID) {
        let device = try laboratory.bind(name)
        let hwpt = try context.allocateHWPT(HWPTRequest(device: device, pt: ioas, flags: flags, fault: queue))
        _ = try context.attach(device: device, to: hwpt, pasid: nil)
        return (device, hwpt)
    }

    /// A user has so many accesses that wait.
    @Test func waitingAccessesAreCharged() throws {
        let (device, _) = try attached(ObjectLaboratory.stalling)
        laboratory.account.setLimit(2, of: .waitingAccesses)
        let waiting = [try read(device, 0x5000), try read(device, 0x6000)]
        expectRefusal(.EDQUOT, .quotaExceeded, in: laboratory) { try read(device, 0x7000) }
        #expect(laboratory.account.used(.waitingAccesses) == 2)
        try context.detach(device: device, pasid: nil)
        laboratory.executor.drain()
        #expect(waiting.allSatisfy { $0.result != nil } && laboratory.account.used(.waitingAccesses) == 0)
    }

    @Test(arguments: [ObjectLaboratory.stalling, ObjectLaboratory.pci])
    func aMissWaitsForItsAnswer(name: String) throws {
        let (device, _) = try attached(name)
        try context.writeMemory(memory, offset: 0, bytes: [1, 2, 3, 4])
        let access = try read(device, 0x5000)
        #expect(access.result == nil)
        let faults = try context.readFaults(queue, max: 64)
        try #require(faults.count == 1)
        #expect(faults[0].device == device && faults[0].address == 0x5000 && faults[0].last)
        #expect(faults[0].permissions == ["read"] && faults[0].cookie == 1 && faults[0].pasid == nil)
        #expect(try context.readFaults(queue, max: 64).isEmpty)
        try laboratory.map(ioas, memory, at: 0x5000)
        #expect(try context.respond(fault: queue, [FaultResponse(cookie: 1, success: true)]) == 1)
        laboratory.executor.drain()
        #expect(try access.result?.get() == [1, 2, 3, 4])
    }

    @Test(arguments: [ObjectLaboratory.stalling, ObjectLaboratory.pci])
    func anInvalidAnswerFailsTheAccess(name: String) throws {
        let (device, _) = try attached(name)
        let access = try read(device, 0x5000)
        let cookie = try #require(try context.readFaults(queue, max: 64).first).cookie
        #expect(try context.respond(fault: queue, [FaultResponse(cookie: cookie, success: false)]) == 1)
        laboratory.executor.drain()
        #expect(throws: IOMMUError.self) { try #require(access.result).get() }
    }

    @Test func cookiesAreAnsweredOnce() throws {
        let (device, _) = try attached(ObjectLaboratory.stalling)
        let accesses = try [0x5000, 0x6000, 0x7000].map { try read(device, $0) }
        let cookies = try context.readFaults(queue, max: 64).map(\.cookie)
        #expect(cookies == [1, 2, 3])
        for cookie in [0, 4, .max] as [UInt32] {
            expectRefusal(.EINVAL, .unknownCookie, in: laboratory) {
                try context.respond(fault: queue, [FaultResponse(cookie: cookie, success: true)])
            }
        }
        do {
            _ = try context.respond(
                fault: queue,
                [
                    FaultResponse(cookie: 2, success: false), FaultResponse(cookie: 2, success: false),
                    FaultResponse(cookie: 3, success: false),
                ])
            Issue.record("a cookie was taken twice")
        } catch {
            #expect(error.members.contains(.init("handled", .number(1))))
        }
        laboratory.executor.drain()
        #expect(accesses.map { $0.result != nil } == [false, true, false])
        expectRefusal(.ENOENT, .unknownFault, in: laboratory) { try context.respond(fault: ioas, []) }
        expectRefusal(.ENOENT, .unknownFault, in: laboratory) { try context.readFaults(99, max: 1) }
    }

    @Test func detachAnswersEverythingReadOrNot() throws {
        let (device, _) = try attached(ObjectLaboratory.stalling)
        let first = try read(device, 0x5000)
        let cookie = try #require(try context.readFaults(queue, max: 1).first).cookie
        let second = try read(device, 0x6000)
        try context.detach(device: device, pasid: nil)
        laboratory.executor.drain()
        for access in [first, second] { #expect(throws: IOMMUError.self) { try #require(access.result).get() } }
        #expect(try context.readFaults(queue, max: 64).isEmpty)
        expectRefusal(.EINVAL, .unknownCookie, in: laboratory) {
            try context.respond(fault: queue, [FaultResponse(cookie: cookie, success: true)])
        }
    }

    @Test func replaceAnswersTheOldOnes() throws {
        let (device, hwpt) = try attached(ObjectLaboratory.stalling)
        let access = try read(device, 0x5000)
        #expect(try context.readFaults(queue, max: 64).count == 1)
        let target = try context.allocateIOAS()
        try laboratory.map(target, memory, at: 0x5000)
        _ = try context.replace(device: device, with: target, pasid: nil)
        laboratory.executor.drain()
        #expect(throws: IOMMUError.self) { try #require(access.result).get() }
        // And not those of a table that stays.
        try context.destroy(object: hwpt)
        #expect(try read(device, 0x5000).result != nil)
    }

    @Test func closingTheSessionAnswersThem() throws {
        let (device, _) = try attached(ObjectLaboratory.stalling)
        let access = try read(device, 0x5000)
        context.close()
        laboratory.executor.drain()
        #expect(throws: IOMMUError.self) { try #require(access.result).get() }
        #expect(context.isEmpty)
    }

    @Test func faultsOfAPASIDNameIt() throws {
        let (device, hwpt) = try attached(ObjectLaboratory.stalling, flags: .pasid)
        _ = try context.attach(device: device, to: hwpt, pasid: 5)
        let own = try read(device, 0x5000)
        let access = try read(device, 0x5000, pasid: 5)
        let faults = try context.readFaults(queue, max: 64)
        #expect(faults.map(\.pasid) == [nil, 5])
        try context.detach(device: device, pasid: 5)
        laboratory.executor.drain()
        #expect(access.result != nil && own.result == nil)
        #expect(try context.respond(fault: queue, [FaultResponse(cookie: faults[0].cookie, success: false)]) == 1)
    }

    @Test func accessesThatEndedTakeNoPlaceFromOthers() throws {
        let (device, _) = try attached(ObjectLaboratory.stalling)
        let smmu = try laboratory.backend.device(named: ObjectLaboratory.stalling).smmu.smmu
        for _ in 0..<1000 {
            let started = try context.emulated.dmaRead(device: device, pasid: nil, iova: 0x5000, length: 4) { _ in }
            guard case .pending(let id) = started else {
                Issue.record("the access did not wait")
                return
            }
            context.emulated.terminate(
                access: id, with: IOMMUError(.ETIMEDOUT, .accessTimedOut, "too late", hint: "this is a test"))
        }
        #expect(smmu.stalledTransactions.isEmpty)
        // Their faults can still be answered: to nobody.
        let faults = try context.readFaults(queue, max: 1000)
        let last = try read(device, 0x6000)
        let answers = faults.map { FaultResponse(cookie: $0.cookie, success: false) }
        #expect(try context.respond(fault: queue, answers) == 1000)
        #expect(last.result == nil && smmu.stalledTransactions.count == 1)
    }

    @Test func aFullQueueFailsWhatComes() throws {
        var limits = ContextLimits()
        limits.faultQueueDepth = 2
        let laboratory = try ObjectLaboratory(limits: limits)
        let context = laboratory.context
        let ioas = try context.allocateIOAS()
        let queue = try context.allocateFaultQueue()
        let device = try laboratory.bind(ObjectLaboratory.stalling)
        let hwpt = try context.allocateHWPT(HWPTRequest(device: device, pt: ioas, fault: queue))
        _ = try context.attach(device: device, to: hwpt, pasid: nil)
        var ended = 0
        for page in 1...3 as ClosedRange<UInt64> {
            do {
                _ = try context.emulated.dmaRead(device: device, pasid: nil, iova: page << 12, length: 4) { _ in
                    ended += 1
                }
            } catch { ended += 1 }
        }
        laboratory.executor.drain()
        #expect(ended == 1)
        #expect(try context.readFaults(queue, max: 64).count == 2)
    }

    @Test(arguments: [false, true])
    func aDeviceThatGoesLeavesNothingOpenWhereItsSiblingStays(unplugged: Bool) throws {
        for (name, streamID) in [("left", 0x900), ("right", 0x901)] as [(String, UInt32)] {
            var description = DeviceDescription(name: name, smmu: "smmu0", streamIDs: [streamID])
            (description.group, description.stall) = ("both", true)
            try laboratory.backend.addDevice(description)
        }
        let (left, hwpt) = try attached("left")
        let right = try laboratory.bind("right")
        // Through the group, without an attachment of its own.
        let access = try read(right, 0x5000)
        let cookie = try #require(try context.readFaults(queue, max: 64).first).cookie
        if unplugged {
            try laboratory.backend.removeDevice(named: "right")
        } else {
            try context.unbind(device: right)
        }
        laboratory.executor.drain()
        #expect(throws: IOMMUError.self) { try #require(access.result).get() }
        expectRefusal(.EINVAL, .unknownCookie, in: laboratory) {
            try context.respond(fault: queue, [FaultResponse(cookie: cookie, success: true)])
        }
        try context.detach(device: left, pasid: nil)
        for id in [hwpt, queue] { try context.destroy(object: id) }
    }

    @Test func eventsTellOfFaults() throws {
        var events: [BackendEvent] = []
        let (device, _) = try attached(ObjectLaboratory.stalling)
        laboratory.backend.eventHandler = { events.append($0) }
        _ = try read(device, 0x5000)
        #expect(events.map(\.kind) == [.fault])
        #expect(events[0].context == context.id && events[0].device == ObjectLaboratory.stalling)
    }

    // MARK: Groups of page requests

    private func fault(_ group: UInt32, last: Bool, address: UInt64 = 0x1000) -> DeviceFault {
        DeviceFault(
            DriverFault(
                pasid: nil, address: address, permissions: [.read, .privileged], last: last, groupID: group,
                tag: .pri(streamID: 0x100, pasid: nil, group: UInt16(group))))
    }

    @Test func pageRequestGroupsAreReadWhole() throws {
        let (device, hwptID) = try attached(ObjectLaboratory.pci)
        let object = try context.deviceObject(device)
        let hwpt = try context.table.object(hwptID, .hwpt, as: HWPT.self)
        let queue = try context.table.object(queue, .fault, as: FaultQueue.self)
        #expect(!queue.deliver(fault(1, last: false), device: object, hwpt: hwpt))
        #expect(!queue.deliver(fault(2, last: false), device: object, hwpt: hwpt))
        #expect(try queue.read(max: 10).isEmpty)
        #expect(queue.deliver(fault(1, last: true, address: 0x2000), device: object, hwpt: hwpt))
        #expect(queue.deliver(fault(2, last: true), device: object, hwpt: hwpt))
        #expect(throws: IOMMUError.self) { try queue.read(max: 1) }
        let first = try queue.read(max: 3)
        #expect(first.map(\.cookie) == [1, 1] && first.map(\.last) == [false, true])
        #expect(first.map(\.address) == [0x1000, 0x2000] && first[0].permissions == ["read", "priv"])
        #expect(try queue.read(max: 3).map(\.cookie) == [2, 2])
    }
}
