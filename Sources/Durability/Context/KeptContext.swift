import IOMMU
import LinuxIO

/// Stands before the context of a named session: carries out its calls, and writes down each that changes something,
/// with what it was given.
///
/// What only looks goes straight to the context behind, as do the capabilities that change nothing which outlives the
/// daemon: accesses of devices, looking into SMMUs, bare SMMUs.
package final class KeptContext: IOMMUContext {
    let inner: any IOMMUContext
    /// What it writes down, and makes again.
    package let state: any KeptState
    /// The same, where a kernel has it.
    package let living: (any LivingState)?
    let journal: Journal
    let files: any FileKeeping
    /// The number of the session.
    let serial: UInt64
    /// Whose it is.
    let uid: UInt32
    /// By which memory objects are found again.
    var memoryFiles: [ObjectID: UInt64] = [:]
    /// By which descriptors of objects are found again, and that of the iommufd; 0: there is none.
    var objectFiles: [ObjectID: UInt64] = [:]
    var contextFile: UInt64 = 0
    /// The iommufd is on its way to where it is kept.
    var isOpening = false
    /// Address spaces of processes that the session has, by id.
    var spaces: [ObjectID: UInt64] = [:]
    /// Address spaces that are being written down: nobody has been told of them.
    var unborn: Set<ObjectID> = []
    /// Memory objects that are made again without their files.
    var lost: Set<ObjectID> = []
    /// Files of address spaces that are made again.
    var restoredFiles: [ObjectID: UInt64] = [:]
    /// Its state is being written as a whole, in pieces.
    package var isBeingWritten = false {
        didSet {
            guard !isBeingWritten else { return }
            let bodies = afterwards
            afterwards = []
            for body in bodies { body() }
        }
    }
    private var afterwards: [() -> Void] = []

    /// - Parameter inner: has a ``IOMMUContext/keptState``.
    package init(
        _ inner: any IOMMUContext, state: any KeptState, journal: Journal, files: any FileKeeping, serial: UInt64,
        uid: UInt32
    ) {
        (self.inner, self.state, self.journal, self.files) = (inner, state, journal, files)
        (self.serial, self.uid) = (serial, uid)
        living = state.living
    }

    /// ``IOMMUContext/id``, of the context behind.
    package var id: ContextID { inner.id }

    // MARK: Writing down

    /// More than the record of a change without lists has, names included.
    package static let shortRecord = 1024

    /// Has room kept for a record. What a kernel does is written down before, too.
    func prepare(_ change: @autoclosure () -> Change?, _ bytes: Int) throws(IOMMUError) {
        guard living != nil, let change = change() else { return try journal.promise(bytes) }
        try journal.promise(2 * bytes)
        do throws(IOMMUError) { try journal.begin(change, session: serial) } catch {
            journal.release(2 * bytes)
            throw error
        }
        journal.release(bytes)
    }

    /// Nothing has come of a change.
    func withdraw(_ bytes: Int) {
        journal.release(bytes)
        if living != nil { journal.append(.withdrawn(session: serial)) }
    }

    /// Carries out a change and writes it down.
    ///
    /// - Parameter change: what it is, with what it came to; nil: before that is known.
    func change<Value>(
        _ change: (Value?) -> Change?, bytes: Int = KeptContext.shortRecord,
        _ body: () throws(IOMMUError) -> Value
    ) throws(IOMMUError) -> Value {
        try prepare(change(nil), bytes)
        let page = Ledger.Page()
        do throws(IOMMUError) {
            let value = try state.ledger.within(page, body)
            write(change(value), page, promised: bytes)
            return value
        } catch {
            withdraw(bytes)
            throw error
        }
    }

    /// As ``change(_:bytes:_:)``, of what may be answered later: it is written down when it is done.
    func begin<Value>(
        _ change: @escaping (Value?) -> Change?, bytes: Int = KeptContext.shortRecord,
        _ body: () throws(IOMMUError) -> Answer<Value>
    ) throws(IOMMUError) -> Answer<Value> {
        try prepare(change(nil), bytes)
        let page = Ledger.Page()
        let answer: Answer<Value>
        do throws(IOMMUError) {
            answer = try state.ledger.within(page, body)
        } catch {
            withdraw(bytes)
            throw error
        }
        switch answer {
        case .now(let value):
            write(change(value), page, promised: bytes)
            return answer
        case .later(let deferred):
            return .later(
                deferred.then { [self] result in
                    if case .success(let value) = result {
                        write(change(value), page, promised: bytes)
                    } else {
                        withdraw(bytes)
                    }
                })
        }
    }

    func write(_ change: Change?, _ page: Ledger.Page, promised bytes: Int) {
        guard let change else { return withdraw(bytes) }
        journal.append(promised: bytes, .change(session: serial, change, given: page.entries))
    }

    // MARK: The end of the session

    /// ``IOMMUContext/close()``; its files need not be kept any more.
    package func close() {
        if outlivesDaemon, let living { return living.leave() }
        dropFiles()
        inner.close()
    }

    /// ``AnsweringLater/beginClose()``; its files need not be kept any more.
    package func beginClose() -> Answer<Void> {
        if outlivesDaemon, let living { return .now(living.leave()) }
        let hasDescriptors = contextFile != 0
        dropFiles()
        return hasDescriptors ? afterDropping { [self] in inner.beginClose() } : inner.beginClose()
    }

    /// ``AnsweringLater/callOff()``
    package func callOff() { inner.callOff() }

    /// Set where the session goes on after the daemon: its files stay kept.
    package var outlivesDaemon = false

    private func dropFiles() {
        guard !outlivesDaemon else { return }
        for file in memoryFiles.values where file != 0 { files.drop(file, count: 1, of: uid) }
        for space in spaces.values { files.drop(space: space) }
        for file in objectFiles.values { files.drop(file, count: 1, of: uid) }
        files.drop(contextFile, count: 1, of: uid)
        (memoryFiles, spaces, objectFiles, contextFile) = ([:], [:], [:], 0)
    }

    // MARK: Looking

    /// ``IOMMUContext/listing()``, which changes nothing that outlives the daemon.
    package func listing() -> ObjectListing { inner.listing() }
    /// ``IOMMUContext/objectCount``, of the context behind.
    package var objectCount: Int { inner.objectCount }
    /// ``IOMMUContext/mappedBytes``, of the context behind.
    package var mappedBytes: UInt64 { inner.mappedBytes }
    /// ``IOMMUContext/exportMemory(_:)``, which changes nothing that outlives the daemon.
    package func exportMemory(_ memory: ObjectID) throws(IOMMUError) -> Descriptor { try inner.exportMemory(memory) }
    /// ``IOMMUContext/readMemory(_:offset:length:)``, which changes nothing that outlives the daemon.
    package func readMemory(_ memory: ObjectID, offset: UInt64, length: UInt64) throws(IOMMUError) -> [UInt8] {
        try inner.readMemory(memory, offset: offset, length: length)
    }
    /// ``IOMMUContext/writeMemory(_:offset:bytes:)``, which changes nothing that outlives the daemon.
    package func writeMemory(_ memory: ObjectID, offset: UInt64, bytes: [UInt8]) throws(IOMMUError) {
        try inner.writeMemory(memory, offset: offset, bytes: bytes)
    }
    /// ``IOMMUContext/iovaRanges(ioas:)``, which changes nothing that outlives the daemon.
    package func iovaRanges(ioas: ObjectID) throws(IOMMUError) -> (ranges: [AddressRange], alignment: UInt64) {
        try inner.iovaRanges(ioas: ioas)
    }
    /// ``IOMMUContext/mappings(ioas:from:limit:)``, which changes nothing that outlives the daemon.
    package func mappings(
        ioas: ObjectID, from start: UInt64, limit: Int
    ) throws(IOMMUError) -> (mappings: [MappingDescription], next: UInt64?) {
        try inner.mappings(ioas: ioas, from: start, limit: limit)
    }
    /// ``IOMMUContext/hugePages(ioas:)``, which changes nothing that outlives the daemon.
    package func hugePages(ioas: ObjectID) throws(IOMMUError) -> Bool { try inner.hugePages(ioas: ioas) }
    /// ``IOMMUContext/name(ofDevice:)``, which changes nothing that outlives the daemon.
    package func name(ofDevice device: ObjectID) throws(IOMMUError) -> String { try inner.name(ofDevice: device) }
    /// ``IOMMUContext/hardwareInfo(device:)``, which changes nothing that outlives the daemon.
    package func hardwareInfo(device: ObjectID) throws(IOMMUError) -> HardwareInfo {
        try inner.hardwareInfo(device: device)
    }
    /// What is dirty after a restart is all that may be.
    package func dirtyBitmap(
        hwpt: ObjectID, _ request: DirtyRequest
    ) throws(IOMMUError) -> (bitmap: [UInt8], dirty: UInt64) {
        try inner.dirtyBitmap(hwpt: hwpt, request)
    }
    /// ``IOMMUContext/invalidate(target:type:entries:)``, which changes nothing that outlives the daemon.
    package func invalidate(target: ObjectID, type: String, entries: [(UInt64, UInt64)]) throws(IOMMUError) -> Int {
        try inner.invalidate(target: target, type: type, entries: entries)
    }
    /// ``AnsweringLater/beginDirtyBitmap(hwpt:_:)``, as ``dirtyBitmap(hwpt:_:)``.
    package func beginDirtyBitmap(
        hwpt: ObjectID, _ request: DirtyRequest
    ) throws(IOMMUError) -> Answer<(bitmap: [UInt8], dirty: UInt64)> {
        try inner.beginDirtyBitmap(hwpt: hwpt, request)
    }
    /// ``AnsweringLater/beginInvalidate(target:type:entries:)``, which changes nothing that outlives the daemon.
    package func beginInvalidate(
        target: ObjectID, type: String, entries: [(UInt64, UInt64)]
    ) throws(IOMMUError) -> Answer<Int> {
        try inner.beginInvalidate(target: target, type: type, entries: entries)
    }
    /// ``IOMMUContext/readFaults(_:max:)``, which changes nothing that outlives the daemon.
    package func readFaults(_ fault: ObjectID, max: Int) throws(IOMMUError) -> [PageFault] {
        try inner.readFaults(fault, max: max)
    }
    /// ``IOMMUContext/respond(fault:_:)``, which changes nothing that outlives the daemon.
    package func respond(fault: ObjectID, _ responses: [FaultResponse]) throws(IOMMUError) -> Int {
        try inner.respond(fault: fault, responses)
    }
    /// ``IOMMUContext/readVirtualEvents(_:max:)``, which changes nothing that outlives the daemon.
    package func readVirtualEvents(_ queue: ObjectID, max: Int) throws(IOMMUError) -> [VirtualEvent] {
        try inner.readVirtualEvents(queue, max: max)
    }
    /// ``IOMMUContext/explain(deviceNamed:)``, which changes nothing that outlives the daemon.
    package func explain(deviceNamed name: String) throws(IOMMUError) -> DeviceExplanation {
        try inner.explain(deviceNamed: name)
    }
    /// ``IOMMUContext/beginCheck(devices:mappings:)``, which changes nothing that outlives the daemon.
    package func beginCheck(
        devices: [DeviceSelector], mappings: [CheckedMapping]
    ) -> AnyIterator<[LayoutProblem]> {
        inner.beginCheck(devices: devices, mappings: mappings)
    }

    // MARK: Capabilities

    /// ``IOMMUContext/deviceDMA``, of the context behind.
    package var deviceDMA: (any DeviceDMA)? { inner.deviceDMA }
    /// ``IOMMUContext/sharedAddressing``, of the context behind.
    package var sharedAddressing: (any SharedAddressing)? { inner.sharedAddressing == nil ? nil : self }
    /// ``IOMMUContext/acceleratorQueues``, of the context behind.
    package var acceleratorQueues: (any AcceleratorQueues)? { inner.acceleratorQueues == nil ? nil : self }
    /// ``IOMMUContext/smmuInspection``, of the context behind.
    package var smmuInspection: (any SMMUInspection)? { inner.smmuInspection }
    /// ``IOMMUContext/tlbBroadcast``, of the context behind.
    package var tlbBroadcast: (any TLBBroadcast)? { inner.tlbBroadcast }
    /// ``IOMMUContext/bareSMMUs``, of the context behind.
    package var bareSMMUs: (any BareSMMUs)? { inner.bareSMMUs }
    /// ``IOMMUContext/descriptorExport``, of the context behind; written down.
    package var descriptorExport: (any DescriptorExport)? { inner.descriptorExport == nil ? nil : self }
    /// ``IOMMUContext/keptState``, of the context behind.
    package var keptState: (any KeptState)? { state }
}

extension KeptContext: KeptFiles {
    /// ``IOMMUContext/file(ofMemory:)``, written down.
    package func file(ofMemory memory: ObjectID) -> UInt64 { memoryFiles[memory] ?? 0 }
    /// ``IOMMUContext/file(ofSpace:)``, written down.
    package func file(ofSpace space: UInt64) -> UInt64 { files.file(ofSpace: space) }
    /// Of the descriptor of an object; nil: of the iommufd itself.
    package func file(ofObject object: ObjectID?) -> UInt64 { object.map { objectFiles[$0] ?? 0 } ?? contextFile }
    /// ``IOMMUContext/isWritten(mm:)``, written down.
    package func isWritten(mm: ObjectID) -> Bool { spaces[mm] != nil }

    /// Does something now, or once its state has been written as a whole: what comes from elsewhere meanwhile must not
    /// change it.
    func unlessBeingWritten(_ body: @escaping () -> Void) {
        if isBeingWritten { afterwards.append(body) } else { body() }
    }
}

extension Deferred {
    /// What is owed once something has been done with what was.
    package func then(_ body: @escaping (Result<Value, IOMMUError>) -> Void) -> Deferred<Value> {
        let made = Deferred<Value>()
        whenSettled { result in
            body(result)
            made.settle(result)
        }
        return made
    }
}
