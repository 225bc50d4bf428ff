import IOMMU

@testable import IOMMUObjects

/// A driver without an IOMMU: what the object model asks of one, and nothing else. Each step can be made to fail.
final class MockDriver: TranslationDriver {
    static let pageSizes: UInt64 = 1 << 12 | 1 << 21 | 1 << 30

    let name: String
    var traits = DriverTraits(hasNesting: true, hasDirtyTracking: true, pasidBits: 16, virtualType: "mock")
    /// Those that exist.
    var domains = 0
    /// Slices that exist.
    var slices = 0
    /// Steps until one fails; nil: none does.
    var stepsToFailure: Int?

    init(name: String) { self.name = name }

    /// - Throws: `ENOMEM` if it is this one's turn.
    func step() throws(IOMMUError) {
        guard let left = stepsToFailure else { return }
        stepsToFailure = left - 1
        guard left > 0 else { throw IOMMUError(.ENOMEM, .noTableMemory, "the mock fails here", hint: "this is a test") }
    }

    func aperture(stage: Int) -> AddressRange {
        guard let range = AddressRange(start: 0, length: 1 << (stage == 1 ? 48 : 44)) else {
            preconditionFailure("not empty")
        }
        return range
    }

    var automaticFormat: DomainFormat { DomainFormat(aperture: aperture(stage: 1), pageSizes: Self.pageSizes) }

    func hardwareInfo(of device: DeviceDescription) -> HardwareInfo {
        HardwareInfo(
            type: "mock", idr: [], iidr: 0, aidr: 0, capabilities: [],
            maxPASIDLog2: min(device.pasidBits, traits.pasidBits))
    }

    func makeDomain(_ flags: HWPTFlags, for account: Account) throws(IOMMUError) -> any TranslationDomain {
        try step()
        domains += 1
        return MockDomain(self, flags)
    }

    func makeSlice(over parent: any TranslationDomain) throws(IOMMUError) -> any GuestSlice {
        try step()
        return MockSlice(self)
    }
}

/// A virtual machine's part of a mock.
final class MockSlice: GuestSlice {
    private unowned let mock: MockDriver
    /// By virtual id.
    private(set) var ports: [UInt64: any TranslationPort] = [:]
    private(set) var invalidations: [(UInt64, UInt64)] = []

    init(_ mock: MockDriver) {
        self.mock = mock
        mock.slices += 1
    }

    deinit { mock.slices -= 1 }

    func setVDevice(_ virtualID: UInt64, port: any TranslationPort) throws(IOMMUError) {
        try mock.step()
        ports[virtualID] = port
    }

    func removeVDevice(_ virtualID: UInt64) { ports[virtualID] = nil }

    /// Bit 0 of the first word: the stage 1 translates; any other bit is not a guest's.
    func makeNested(_ data: (UInt64, UInt64)) throws(IOMMUError) -> any NestedTranslation {
        try mock.step()
        guard data.0 | 1 == 1, data.1 == 0 else {
            throw IOMMUError(
                .EIO, .illegalVSTE, "not the guest's", hint: "this is a test", ["ste": .words([data.0, data.1])])
        }
        return MockNested(needsVirtualID: data.0 == 1)
    }

    func invalidate(entries: [(UInt64, UInt64)]) throws(IOMMUError) -> Int {
        for (index, entry) in entries.enumerated() {
            guard entry.0 != 0 else {
                throw IOMMUError(
                    .EIO, .badCommand, "not the guest's", hint: "this is a test", ["handled": .number(UInt64(index))])
            }
            invalidations.append(entry)
        }
        return entries.count
    }
}

/// A guest's stage 1 that translates nothing.
final class MockNested: NestedTranslation {
    let needsVirtualID: Bool

    init(needsVirtualID: Bool) { self.needsVirtualID = needsVirtualID }
}

/// A device of a mock.
final class MockPort: TranslationPort {
    unowned let mock: MockDriver
    /// By PASID; nil: the device's own. What is not in it is blocked.
    fileprivate(set) var targets: [UInt32?: TranslationTarget] = [:]
    /// Changes that are prepared and neither made nor dropped.
    fileprivate(set) var pending = 0
    /// Answers to faults, in order.
    private(set) var answers: [(token: FaultToken, success: Bool)] = []

    init(_ mock: MockDriver) { self.mock = mock }

    func prepare(
        pasid: UInt32?, target: TranslationTarget
    ) throws(IOMMUError) -> any PreparedTranslation {
        try mock.step()
        pending += 1
        return MockChange(port: self, pasid: pasid, target: target)
    }

    func block(pasid: UInt32?) { targets[pasid] = nil }

    func respond(to fault: FaultToken, success: Bool) { answers.append((fault, success)) }

    /// Where an access gets; nil if it does not get through.
    func translate(_ address: UInt64, pasid: UInt32?, _ kind: AccessKind) -> UInt64? {
        guard case .domain(let domain, _)? = targets[pasid] else { return nil }
        return (domain as? MockDomain)?.translate(address, kind)
    }
}

private final class MockChange: PreparedTranslation {
    private let port: MockPort
    private let pasid: UInt32?
    private let target: TranslationTarget

    init(port: MockPort, pasid: UInt32?, target: TranslationTarget) {
        (self.port, self.pasid, self.target) = (port, pasid, target)
    }

    func commit() {
        port.pending -= 1
        port.targets[pasid] = target
    }

    func abandon() { port.pending -= 1 }
}
