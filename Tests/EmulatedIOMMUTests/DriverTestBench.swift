import IOMMU
import SMMUv3

@testable import EmulatedIOMMU

/// An SMMU with its driver, and what the system around them sees.
final class DriverTestBench {
    let machine: Machine
    let pages: FailingPageSource
    let smmu: SMMU<MachineMemory>
    let driver: SMMUDriver
    let link = RecordingLink()
    let events = RecordingEvents()

    init(
        _ identification: Identification = .laboratory, geometry: CacheGeometry = .neverEvicting
    ) throws {
        machine = try Machine()
        pages = FailingPageSource(machine)
        smmu = try SMMU(memory: machine.memory, identification: identification, geometry: geometry)
        driver = try SMMUDriver(name: "smmu0", smmu: smmu, pages: pages)
        smmu.delegate = link
        driver.events = events
    }

    func master(
        _ streamID: UInt32 = 0x100, pasidBits: Int = 0, stall: Bool = false, pri: Bool = false, ats: Bool = false
    ) throws -> Master {
        try driver.makeMaster(streamIDs: [streamID], pasidBits: pasidBits, stall: stall, pri: pri, ats: ats)
    }

    func attach(_ master: Master, pasid: UInt32? = nil, _ target: AttachTarget) throws {
        driver.commit(try driver.prepare(master, pasid: pasid, target: target))
    }

    func attach(_ master: Master, pasid: UInt32? = nil, _ domain: PagingDomain, faults: Bool = false) throws {
        try attach(master, pasid: pasid, .paging(domain, faults: faults))
    }

    func translate(
        _ master: Master, _ address: UInt64, pasid: UInt32? = nil, _ access: SMMUv3.Access = .read
    ) -> Translation {
        smmu.translate(
            Transaction(streamID: master.streamIDs[0], substreamID: pasid, address: address, access: access)
        )
    }

    /// Where an access goes; nil if it does not get through.
    func output(
        _ master: Master, _ address: UInt64, pasid: UInt32? = nil, _ access: SMMUv3.Access = .read
    ) -> UInt64? {
        if case .ok(let output) = translate(master, address, pasid: pasid, access) { return output.address }
        return nil
    }
}

extension Identification {
    /// IDR1.CMDQS = `commandQueueBits`
    static func laboratory(commandQueueBits: UInt32) -> Identification {
        var identification = Identification.laboratory
        identification.IDR1 = identification.IDR1 & ~(0x1f << 21) | commandQueueBits << 21
        return identification
    }

    /// The command queue holds one command at a time.
    static var oneCommand: Identification { laboratory(commandQueueBits: 0) }
}

/// Fails the n-th allocation from now.
final class FailingPageSource: PageSource {
    private let source: any PageSource
    var failsAfter: Int?
    private(set) var allocations = 0
    private(set) var bytesInUse: UInt64 = 0

    init(_ source: any PageSource) { self.source = source }

    var range: AddressRange { source.range }

    func allocatePages(bytes: UInt64) throws(IOMMUError) -> UInt64 {
        if let left = failsAfter {
            guard left > 0 else { throw IOMMUError(.ENOMEM, .injected, "injected failure", hint: "this is a test") }
            failsAfter = left - 1
        }
        allocations += 1
        bytesInUse += bytes
        return try source.allocatePages(bytes: bytes)
    }

    func freePages(_ address: UInt64, bytes: UInt64) {
        bytesInUse -= bytes
        source.freePages(address, bytes: bytes)
    }

    func pointer(_ tableAddress: UInt64) -> UnsafeMutableRawPointer { source.pointer(tableAddress) }
}

/// The device side of the SMMU.
final class RecordingLink: SMMUDelegate {
    var interrupts: [Interrupt] = []
    var resolutions: [StallResolution] = []
    var invalidations: [ATCInvalidation] = []
    var answers: [PageRequestAnswer] = []
    var deviceAnswers = true

    func interruptRaised(_ interrupt: Interrupt) { interrupts.append(interrupt) }
    func stallResolved(_ resolution: StallResolution) { resolutions.append(resolution) }
    func invalidateTranslations(_ invalidation: ATCInvalidation) -> Bool {
        invalidations.append(invalidation)
        return deviceAnswers
    }
    func pageRequestAnswered(_ answer: PageRequestAnswer) { answers.append(answer) }
}

final class RecordingEvents: SMMUDriverEvents {
    var faults: [DriverFault] = []
    var events: [EventRecord] = []
    var masters: [Master?] = []

    func driver(_ driver: SMMUDriver, fault: DriverFault, from master: Master) { faults.append(fault) }
    func driver(_ driver: SMMUDriver, event: EventRecord, cause: FaultCause?, from master: Master?) {
        events.append(event)
        masters.append(master)
    }
    func driver(_ driver: SMMUDriver, causeOf event: EventRecord, from master: Master?) -> FaultCause? { nil }
}
