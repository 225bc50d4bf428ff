import IOMMU
import SMMUv3

@testable import EmulatedIOMMU

/// Our driver on an SMMU like that of a recorded run, taking the recorded steps.
final class CommandReplay {
    let run: String
    let bench: DriverTestBench
    private let medium: RecordingMedium
    private var features: SMMUFeatures { bench.driver.features }
    /// The two devices; A may be unplugged.
    private(set) var (a, b): (Master?, Master?)
    /// By name of the IOAS, hwpt or default domain.
    var domains: [String: PagingDomain] = [:]
    var viommu: DriverVIOMMU?
    var nested: [String: NestedDomain] = [:]

    init(_ oracle: CommandOracle, run: String) throws {
        self.run = run
        bench = try DriverTestBench(oracle.identification(run) ?? .laboratory)
        medium = RecordingMedium(bench.driver)
        bench.driver.medium = medium
        (a, b) = (try plugA(), try plug(0x200))
    }

    private func plug(_ streamID: UInt32) throws -> Master {
        try bench.driver.makeMaster(
            streamIDs: [streamID], pasidBits: run == "pasid" ? 16 : 10, stall: run == "stall", pri: false,
            ats: run.hasSuffix("ats"))
    }

    private func plugA() throws -> Master { try plug(0x100) }

    // MARK: What steps do

    /// An automatic hwpt, which goes with its last user; or another, which stays.
    func domain(_ name: String, _ kind: PagingKind? = nil, dirty: Bool = false, pasid: Bool = false) throws
        -> PagingDomain
    {
        if let domain = domains[name] { return domain }
        let domain = try bench.driver.makePagingDomain(
            kind ?? bench.driver.preferredKind, dirtyTracking: dirty, pasid: pasid)
        domains[name] = domain
        return domain
    }

    func destroy(_ name: String) {
        guard let domain = domains.removeValue(forKey: name), domain.userCount == 0 else { return }
        bench.driver.destroy(domain)
    }

    func attach(_ master: Master?, pasid: UInt32? = nil, _ target: AttachTarget) throws {
        guard let master else { return }
        try bench.attach(master, pasid: pasid, target)
        for name in ["IOAS 1", "IOAS 2"] where domains[name]?.userCount == 0 { destroy(name) }
    }

    func attach(_ master: Master?, pasid: UInt32? = nil, _ name: String, faults: Bool = false) throws {
        try attach(master, pasid: pasid, .paging(try domain(name), faults: faults))
    }

    func nest(_ name: String) throws {
        guard let domain = nested[name] else { return }
        try attach(a, .nested(domain, faults: false))
    }

    func unplug() throws {
        if let a { bench.driver.removeMaster(a) }
        a = nil
    }

    func replug() throws { a = try plugA() }

    /// Pages, or blocks of 2 MiB, that lie so that nothing larger can be mapped.
    func map(_ name: String, iova: UInt64, length: UInt64, blocks: Bool) throws {
        let pa: UInt64 = 0x100_0000_0000 + (blocks ? 0x20_0000 + iova & 0x1f_ffff : 0x1000)
        try domain(name).map(iova: iova, pa: pa, length: length, access: [.read, .write], hugePages: blocks)
    }

    func unmap(_ name: String, iova: UInt64, length: UInt64) throws {
        let domain = try domain(name)
        domain.unmap(iova: iova, length: length)
        domain.flush()
    }

    // MARK: What comes of it

    static let abort = ["0x1"] + Array(repeating: "0x0", count: 7)
    private static let passThrough = ["0x9"] + Array(repeating: "0x0", count: 7)

    /// A recorded STE as ours has to be: nothing passes through here.
    static func expected(_ entry: [String]) -> [String] { entry == passThrough ? abort : entry }

    var writes: [CommandOracle.Write] { medium.writes }

    /// Runs a step; the commands it put into the queue.
    func commands(_ body: () throws -> Void) rethrows -> [[String]] {
        let before = bench.driver.queue.issued
        medium.begin()
        try body()
        return bench.driver.queue.commands(since: before, limit: .max).map { _, command in
            [CommandOracle.text(command.word0), CommandOracle.text(command.word1)]
        }
    }

    /// Addresses that the recording does not keep are zero.
    ///
    /// A stream without a leaf of the stream table does not get through either.
    func streamEntry(_ streamID: UInt32) -> [String] {
        guard bench.driver.streams.address(of: streamID) != nil else { return Self.abort }
        var words = bench.driver.streams.entry(streamID).words
        if words[0] >> 1 & 7 != StreamConfiguration.nested.rawValue { words[0] &= ~0x000f_ffff_ffff_ffc0 }
        words[3] &= ~0x000f_ffff_ffff_fff0
        return words.map(CommandOracle.text)
    }

    func contextDescriptor(_ streamID: UInt32, _ substreamID: UInt32) -> [String] {
        let master = streamID == 0x100 ? a : b
        var words = master?.contexts?.descriptor(substreamID).words ?? []
        if words.count > 1 { words[1] = 0 }
        return words.map(CommandOracle.text)
    }
}

/// Stores of entries, as the recording has them.
final class RecordingMedium: EntryMedium {
    private unowned let driver: SMMUDriver
    private let base: any EntryMedium
    private var start: UInt64 = 0
    private(set) var writes: [CommandOracle.Write] = []

    init(_ driver: SMMUDriver) { (self.driver, base) = (driver, driver.medium) }

    func begin() { (start, writes) = (driver.queue.issued, []) }

    func synchronize(_ scope: EntryScope) { base.synchronize(scope) }

    func store(_ value: UInt64, at address: UInt64) {
        base.store(value, at: address)
        let before = Int(driver.queue.issued - start)
        for streamID: UInt32 in [0x100, 0x200] {
            guard let entry = driver.streams.address(of: streamID), address &- entry < 64 else { continue }
            let word = Int(address - entry) / 8
            var text = value
            if word == 0, value >> 1 & 7 != StreamConfiguration.nested.rawValue { text &= ~0x000f_ffff_ffff_ffc0 }
            if word == 3, value != 0 { text = 0xadd0 }
            return append(before, "ste", word, text)
        }
        let masters = [0x100, 0x200].compactMap { driver.masters[$0] }
        if masters.contains(where: { $0.contexts?.isTwoLevel == true && address &- ($0.contexts?.root ?? 0) < 4096 }) {
            return append(before, "l1cd", 0, value == 0 ? 0 : 0xadd1)
        }
        let word = Int(address % 64) / 8
        append(before, "cd", word, word == 1 && value != 0 ? 0xadd0 : value)
    }

    private func append(_ before: Int, _ entry: String, _ word: Int, _ value: UInt64) {
        writes.append(.init(before: before, entry: entry, word: word, value: CommandOracle.text(value)))
    }
}
