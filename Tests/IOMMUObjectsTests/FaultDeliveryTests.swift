import IOMMU
import Testing

@testable import IOMMUObjects

/// Faults of devices find the fault queue of what they translate through, and the answers find the driver.
@Suite struct FaultDeliveryTests {
    let laboratory: ObjectLaboratory
    let context: ObjectContext
    let device: ObjectID
    let queue: ObjectID

    init() throws {
        laboratory = try ObjectLaboratory()
        context = laboratory.context
        device = try laboratory.bind(ObjectLaboratory.stalling)
        queue = try context.allocateFaultQueue()
    }

    private func fault(_ token: UInt64, pasid: UInt32? = nil, last: Bool = true) -> DeviceFault {
        DeviceFault(
            pasid: pasid, address: 0x5000, permissions: [.read, .write], last: last, groupID: 1,
            token: FaultToken(rawValue: token))
    }

    private func report(_ fault: DeviceFault) throws {
        try laboratory.backend.registry.device(named: ObjectLaboratory.stalling).deliver(fault)
    }

    private func answers() throws -> [String] {
        try laboratory.backend.port(ObjectLaboratory.stalling).answers.map { "\($0.token.rawValue) \($0.success)" }
    }

    private func attach(fault: ObjectID?, flags: HWPTFlags = [], pasid: UInt32? = nil) throws -> ObjectID {
        let ioas = try context.allocateIOAS()
        let hwpt = try context.allocateHWPT(HWPTRequest(device: device, pt: ioas, flags: flags, fault: fault))
        return try context.attach(device: device, to: hwpt, pasid: pasid)
    }

    @Test func whatNobodyServesFails() throws {
        try report(fault(1))
        _ = try attach(fault: nil)
        try report(fault(2, last: false))
        try report(fault(3))
        #expect(try answers() == ["1 false", "3 false"])
        #expect(try context.readFaults(queue, max: 8).isEmpty)
    }

    @Test func faultsAreReadAndAnswered() throws {
        _ = try attach(fault: queue)
        try report(fault(1))
        try report(fault(2))
        let faults = try context.readFaults(queue, max: 8)
        #expect(faults.map(\.cookie) == [1, 2] && faults[0].device == device && faults[0].address == 0x5000)
        #expect(faults[0].permissions == ["read", "write"])
        #expect(try answers().isEmpty)
        _ = try context.respond(
            fault: queue, [FaultResponse(cookie: 2, success: true), FaultResponse(cookie: 1, success: false)])
        #expect(try answers() == ["2 true", "1 false"])
        #expect(laboratory.backend.answers == 1)
        #expect(laboratory.backend.events.filter { $0.kind == .fault }.count == 2)
    }

    @Test func aPASIDHasTheQueueOfItsOwnTable() throws {
        _ = try attach(fault: queue, flags: .pasid, pasid: 7)
        try report(fault(1))
        try report(fault(2, pasid: 7))
        #expect(try answers() == ["1 false"])
        #expect(try context.readFaults(queue, max: 8).map(\.pasid) == [7])
    }

    @Test(arguments: [false, true])
    func detachAndReplaceAnswerWhatIsOpen(replacing: Bool) throws {
        _ = try attach(fault: queue)
        for token in 1...3 as ClosedRange<UInt64> { try report(fault(token)) }
        _ = try context.readFaults(queue, max: 1)
        if replacing {
            _ = try context.replace(device: device, with: context.allocateIOAS(), pasid: nil)
        } else {
            try context.detach(device: device, pasid: nil)
        }
        #expect(Set(try answers()) == ["1 false", "2 false", "3 false"])
        #expect(throws: IOMMUError.self) {
            try context.respond(fault: queue, [FaultResponse(cookie: 1, success: true)])
        }
    }
}
