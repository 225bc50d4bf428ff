import IOMMU
import LinuxIO

/// What a kernel has lives for as long as somebody has its descriptors: they are kept before anybody is told of what
/// they stand for, and let go before it is ended, so that the last one is closed here and not by whoever keeps them.
extension KeptContext {
    // MARK: Keeping

    /// ``AnsweringLater/beginOpening()``: the iommufd is kept before there is anything in it.
    package func beginOpening() throws(IOMMUError) -> Answer<Void> {
        guard let living, contextFile == 0, !isOpening else { return .now(()) }
        try journal.promise(Self.shortRecord)
        let answer: Answer<UInt64>
        do throws(IOMMUError) {
            answer = try files.keep([try living.open()], of: uid, anew: false)
        } catch {
            journal.release(Self.shortRecord)
            throw error
        }
        isOpening = true
        return answer.flatMap { [self] result in
            isOpening = false
            switch result {
            case .failure(let error):
                journal.release(Self.shortRecord)
                return .later(.failed(error))
            case .success(let file):
                contextFile = file
                let given = [Ledger.Entry(.file, file)]
                journal.append(promised: Self.shortRecord, .change(session: serial, .openIOMMUFD, given: given))
                return .now(())
            }
        }
    }

    /// As ``begin(_:bytes:_:)``, of what makes an object whose descriptor is to be kept.
    func begin<Value>(
        _ change: @escaping (Value?) -> Change?, keeping object: @escaping (Value) -> ObjectID,
        _ body: () throws(IOMMUError) -> Answer<Value>
    ) throws(IOMMUError) -> Answer<Value> {
        guard living != nil else { return try begin(change, body) }
        try prepare(change(nil), Self.shortRecord)
        let page = Ledger.Page()
        do throws(IOMMUError) {
            let made = try state.ledger.within(page, body)
            return made.flatMap { [self] result in
                switch result {
                case .success(let value): return keep(value, object(value), change(value), page)
                case .failure(let error):
                    withdraw(Self.shortRecord)
                    return .later(.failed(error))
                }
            }
        } catch {
            withdraw(Self.shortRecord)
            throw error
        }
    }

    private func keep<Value>(
        _ value: Value, _ object: ObjectID, _ change: Change?, _ page: Ledger.Page
    ) -> Answer<Value> {
        guard let number = living?.descriptor(of: object) else {
            write(change, page, promised: Self.shortRecord)
            return .now(value)
        }
        let answer: Answer<UInt64>
        do throws(IOMMUError) {
            answer = try files.keep([number], of: uid, anew: false)
        } catch {
            answer = .later(.failed(error))
        }
        return answer.flatMap { [self] result in
            switch result {
            case .success(let file):
                objectFiles[object] = file
                page.add(Ledger.Entry(.file, file))
                write(change, page, promised: Self.shortRecord)
                return .now(value)
            case .failure(let error):
                return undo(object, change).flatMap { [self] _ in
                    withdraw(Self.shortRecord)
                    return .later(.failed(error))
                }
            }
        }
    }

    /// What cannot be kept is not there.
    private func undo(_ object: ObjectID, _ change: Change?) -> Answer<Void> {
        do throws(IOMMUError) {
            if case .bind? = change { return try inner.beginUnbind(device: object) }
            return try inner.beginDestroy(object: object)
        } catch {
            // It stays to the end of the session, and nobody has been told of it.
            return .now(())
        }
    }

    // MARK: Letting go

    /// Does something once nobody else has what was dropped.
    func afterDropping<Value>(_ body: @escaping () throws(IOMMUError) -> Answer<Value>) -> Answer<Value> {
        let dropped = Deferred<Void>()
        files.whenDropped { dropped.settle(.success(())) }
        return Answer.later(dropped).flatMap { _ in
            do throws(IOMMUError) { return try body() } catch { return .later(.failed(error)) }
        }
    }

    private func drop(fileOf object: ObjectID) {
        guard let file = objectFiles.removeValue(forKey: object) else { return }
        files.drop(file, count: 1, of: uid)
    }

    /// The kernel destroys no queue whose descriptor is open anywhere.
    func beginDestroy(keptObject object: ObjectID) throws(IOMMUError) -> Answer<Void> {
        try living?.checkDestroy(object)
        return try begin({ _ in .destroy(object) }) { () throws(IOMMUError) in
            drop(fileOf: object)
            return afterDropping { [self] () throws(IOMMUError) in try inner.beginDestroy(object: object) }
        }
    }

    /// It is written down first that the session does not have the device any more: it is given back with the last of
    /// its descriptors, whoever has that.
    func beginUnbind(keptDevice device: ObjectID, force: Bool) throws(IOMMUError) -> Answer<Void> {
        try living?.checkUnbind(device, force: force)
        try journal.promise(Self.shortRecord)
        journal.append(promised: Self.shortRecord, .change(session: serial, .unbind(device: device), given: []))
        drop(fileOf: device)
        return afterDropping { [self] () throws(IOMMUError) in
            guard force, let export = inner.descriptorExport else { return try inner.beginUnbind(device: device) }
            return try export.beginForcedUnbind(device: device)
        }
    }
}

/// Descriptors that are handed out: what is known of them is written down.
extension KeptContext: DescriptorExport {
    private func export() throws(IOMMUError) -> any DescriptorExport {
        guard let able = inner.descriptorExport else { throw Capability.descriptorExport.missing }
        return able
    }

    /// ``DescriptorExport/exportContext(devices:)``, written down.
    package func exportContext(devices names: [String]) throws(IOMMUError) -> [SharedDescriptor] {
        let able = try export()
        return try change({ $0.map { _ in .exportContext(names) } }, bytes: Self.shortRecord + 128 * names.count) {
            () throws(IOMMUError) in try able.exportContext(devices: names)
        }
    }

    /// ``DescriptorExport/offerContext(devices:)``, written down when it is taken: an offer ends with the daemon.
    package func offerContext(devices names: [String]) throws(IOMMUError) -> any ContextOffer {
        let bytes = Self.shortRecord + 128 * names.count
        try journal.promise(bytes)
        do throws(IOMMUError) {
            return KeptOffer(try export().offerContext(devices: names), promised: bytes, journal: journal) {
                [serial] in .change(session: serial, .exportContext(names), given: [])
            }
        } catch {
            journal.release(bytes)
            throw error
        }
    }

    /// ``DescriptorExport/exportDevice(_:)``, written down.
    package func exportDevice(_ device: ObjectID) throws(IOMMUError) -> Descriptor {
        let able = try export()
        try journal.promise(Self.shortRecord)
        do throws(IOMMUError) {
            let descriptor = try able.exportDevice(device)
            journal.append(
                promised: Self.shortRecord, .change(session: serial, .exportDevice(device), given: []))
            return descriptor
        } catch {
            journal.release(Self.shortRecord)
            throw error
        }
    }

    /// ``DescriptorExport/beginForcedUnbind(device:)``, written down.
    package func beginForcedUnbind(device: ObjectID) throws(IOMMUError) -> Answer<Void> {
        guard living != nil else { return try export().beginForcedUnbind(device: device) }
        return try beginUnbind(keptDevice: device, force: true)
    }
}

/// An offer whose acceptance is written down; room for that is kept as long as it stands.
private final class KeptOffer: ContextOffer {
    private let inner: any ContextOffer
    private let journal: Journal
    private let record: () -> Record
    private var promised: Int?

    init(_ inner: any ContextOffer, promised: Int, journal: Journal, _ record: @escaping () -> Record) {
        (self.inner, self.promised, self.journal, self.record) = (inner, promised, journal, record)
    }

    var iommufd: SharedDescriptor { inner.iommufd }
    var isOpen: Bool { inner.isOpen }

    func accept() -> Bool {
        guard inner.accept() else { return false }
        if let promised { journal.append(promised: promised, record()) }
        promised = nil
        return true
    }

    func withdraw() {
        inner.withdraw()
        if let promised { journal.release(promised) }
        promised = nil
    }
}
