import LinuxIO

/// What a call comes to that can take long where a kernel stands behind it.
package enum Answer<Value> {
    /// It is done. Nothing was made for the sake of waiting.
    case now(Value)
    /// It goes on elsewhere. Until it has ended the context is called for nothing else but
    /// ``AnsweringLater/callOff()``.
    case later(Deferred<Value>)
}

/// A value that a backend owes. Used on the owning thread only.
package final class Deferred<Value> {
    private var result: Result<Value, IOMMUError>?
    private var receiver: ((Result<Value, IOMMUError>) -> Void)?

    /// One that is owed.
    package init() {}

    /// The backend is through with it. What is settled stays so.
    package func settle(_ result: Result<Value, IOMMUError>) {
        guard self.result == nil else { return }
        self.result = result
        let receiver = receiver
        self.receiver = nil
        receiver?(result)
    }

    /// Calls `receiver` once: as soon as it is settled, or now if it is.
    package func whenSettled(_ receiver: @escaping (Result<Value, IOMMUError>) -> Void) {
        if let result { receiver(result) } else { self.receiver = receiver }
    }
}

/// The calls that can take long, for a service that goes on meanwhile: as those without `begin`, with the same errors,
/// thrown at once or later.
package protocol AnsweringLater: AnyObject {
    /// Makes ready what all objects are in, where it is to outlive the daemon; before anything else.
    ///
    /// - Throws: `ENODEV`, `EPERM`, `EMFILE`, `EDQUOT`, `EIO`, `ENOSPC`.
    func beginOpening() throws(IOMMUError) -> Answer<Void>
    /// ``IOMMUContext/importMemory(_:name:)``
    func beginImportMemory(
        _ descriptor: consuming Descriptor, name: String?
    ) throws(IOMMUError) -> Answer<(memory: ObjectID, size: UInt64)>
    /// ``IOMMUContext/createMemory(size:name:huge:)``
    func beginCreateMemory(size: UInt64, name: String?, huge: Bool) throws(IOMMUError) -> Answer<ObjectID>
    /// ``IOMMUContext/destroy(object:)``
    func beginDestroy(object: ObjectID) throws(IOMMUError) -> Answer<Void>
    /// ``IOMMUContext/close()``
    func beginClose() -> Answer<Void>
    /// ``IOMMUContext/map(ioas:_:)``
    func beginMap(ioas: ObjectID, _ request: MapRequest) throws(IOMMUError) -> Answer<UInt64>
    /// ``IOMMUContext/map(ioas:many:)``
    func beginMap(ioas: ObjectID, many requests: [MapRequest]) throws(IOMMUError) -> Answer<[UInt64]>
    /// ``IOMMUContext/unmap(ioas:iova:length:)``
    func beginUnmap(ioas: ObjectID, iova: UInt64, length: UInt64) throws(IOMMUError) -> Answer<UInt64>
    /// ``IOMMUContext/copy(from:iova:length:to:iova:access:)``
    func beginCopy(
        from source: ObjectID, iova: UInt64, length: UInt64, to destination: ObjectID, iova fixed: UInt64?,
        access: Access
    ) throws(IOMMUError) -> Answer<UInt64>
    /// ``IOMMUContext/bind(deviceNamed:)``
    func beginBind(deviceNamed name: String) throws(IOMMUError) -> Answer<(device: ObjectID, group: UInt32?)>
    /// ``IOMMUContext/unbind(device:)``
    func beginUnbind(device: ObjectID) throws(IOMMUError) -> Answer<Void>
    /// ``IOMMUContext/attach(device:to:pasid:)``
    func beginAttach(device: ObjectID, to pt: ObjectID, pasid: UInt32?) throws(IOMMUError) -> Answer<ObjectID>
    /// ``IOMMUContext/replace(device:with:pasid:)``
    func beginReplace(device: ObjectID, with pt: ObjectID, pasid: UInt32?) throws(IOMMUError) -> Answer<ObjectID>
    /// ``IOMMUContext/detach(device:pasid:)``
    func beginDetach(device: ObjectID, pasid: UInt32?) throws(IOMMUError) -> Answer<Void>
    /// ``IOMMUContext/allocateHWPT(_:)``
    func beginAllocateHWPT(_ request: HWPTRequest) throws(IOMMUError) -> Answer<ObjectID>
    /// ``IOMMUContext/setDirtyTracking(hwpt:enabled:)``
    func beginSetDirtyTracking(hwpt: ObjectID, enabled: Bool) throws(IOMMUError) -> Answer<Void>
    /// ``IOMMUContext/dirtyBitmap(hwpt:_:)``
    func beginDirtyBitmap(
        hwpt: ObjectID, _ request: DirtyRequest
    ) throws(IOMMUError) -> Answer<(bitmap: [UInt8], dirty: UInt64)>
    /// ``IOMMUContext/allocateFaultQueue()``
    func beginAllocateFaultQueue() throws(IOMMUError) -> Answer<ObjectID>
    /// ``IOMMUContext/allocateVIOMMU(device:hwpt:type:)``
    func beginAllocateVIOMMU(device: ObjectID, hwpt: ObjectID, type: String) throws(IOMMUError) -> Answer<ObjectID>
    /// ``IOMMUContext/allocateVEventQueue(viommu:type:depth:)``
    func beginAllocateVEventQueue(
        viommu: ObjectID, type: String, depth: UInt32
    ) throws(IOMMUError) -> Answer<ObjectID>
    /// ``IOMMUContext/invalidate(target:type:entries:)``
    func beginInvalidate(
        target: ObjectID, type: String, entries: [(UInt64, UInt64)]
    ) throws(IOMMUError) -> Answer<Int>
    /// Nobody waits any more for what was answered later. Where it has not yet come so far that it has to be ended, it
    /// is undone and comes to nothing.
    func callOff()
}

/// A context answers at once, unless it says otherwise.
extension IOMMUContext {
    package func callOff() {}

    package func beginOpening() throws(IOMMUError) -> Answer<Void> { .now(()) }

    package func beginSetDirtyTracking(hwpt: ObjectID, enabled: Bool) throws(IOMMUError) -> Answer<Void> {
        .now(try setDirtyTracking(hwpt: hwpt, enabled: enabled))
    }

    package func beginDirtyBitmap(
        hwpt: ObjectID, _ request: DirtyRequest
    ) throws(IOMMUError) -> Answer<(bitmap: [UInt8], dirty: UInt64)> {
        .now(try dirtyBitmap(hwpt: hwpt, request))
    }

    package func beginAllocateFaultQueue() throws(IOMMUError) -> Answer<ObjectID> { .now(try allocateFaultQueue()) }

    package func beginAllocateVIOMMU(
        device: ObjectID, hwpt: ObjectID, type: String
    ) throws(IOMMUError) -> Answer<ObjectID> {
        .now(try allocateVIOMMU(device: device, hwpt: hwpt, type: type))
    }

    package func beginAllocateVEventQueue(
        viommu: ObjectID, type: String, depth: UInt32
    ) throws(IOMMUError) -> Answer<ObjectID> {
        .now(try allocateVEventQueue(viommu: viommu, type: type, depth: depth))
    }

    package func beginImportMemory(
        _ descriptor: consuming Descriptor, name: String?
    ) throws(IOMMUError) -> Answer<(memory: ObjectID, size: UInt64)> {
        .now(try importMemory(descriptor, name: name))
    }

    package func beginCreateMemory(size: UInt64, name: String?, huge: Bool) throws(IOMMUError) -> Answer<ObjectID> {
        .now(try createMemory(size: size, name: name, huge: huge))
    }

    package func beginDestroy(object: ObjectID) throws(IOMMUError) -> Answer<Void> {
        .now(try destroy(object: object))
    }

    package func beginClose() -> Answer<Void> { .now(close()) }

    package func beginMap(ioas: ObjectID, _ request: MapRequest) throws(IOMMUError) -> Answer<UInt64> {
        .now(try map(ioas: ioas, request))
    }

    package func beginMap(ioas: ObjectID, many requests: [MapRequest]) throws(IOMMUError) -> Answer<[UInt64]> {
        .now(try map(ioas: ioas, many: requests))
    }

    package func beginUnmap(ioas: ObjectID, iova: UInt64, length: UInt64) throws(IOMMUError) -> Answer<UInt64> {
        .now(try unmap(ioas: ioas, iova: iova, length: length))
    }

    package func beginCopy(
        from source: ObjectID, iova: UInt64, length: UInt64, to destination: ObjectID, iova fixed: UInt64?,
        access: Access
    ) throws(IOMMUError) -> Answer<UInt64> {
        .now(try copy(from: source, iova: iova, length: length, to: destination, iova: fixed, access: access))
    }

    package func beginBind(
        deviceNamed name: String
    ) throws(IOMMUError) -> Answer<(device: ObjectID, group: UInt32?)> {
        .now(try bind(deviceNamed: name))
    }

    package func beginUnbind(device: ObjectID) throws(IOMMUError) -> Answer<Void> { .now(try unbind(device: device)) }

    package func beginAttach(device: ObjectID, to pt: ObjectID, pasid: UInt32?) throws(IOMMUError) -> Answer<ObjectID> {
        .now(try attach(device: device, to: pt, pasid: pasid))
    }

    package func beginReplace(
        device: ObjectID, with pt: ObjectID, pasid: UInt32?
    ) throws(IOMMUError) -> Answer<ObjectID> {
        .now(try replace(device: device, with: pt, pasid: pasid))
    }

    package func beginDetach(device: ObjectID, pasid: UInt32?) throws(IOMMUError) -> Answer<Void> {
        .now(try detach(device: device, pasid: pasid))
    }

    package func beginAllocateHWPT(_ request: HWPTRequest) throws(IOMMUError) -> Answer<ObjectID> {
        .now(try allocateHWPT(request))
    }

    package func beginInvalidate(
        target: ObjectID, type: String, entries: [(UInt64, UInt64)]
    ) throws(IOMMUError) -> Answer<Int> {
        .now(try invalidate(target: target, type: type, entries: entries))
    }
}

extension Deferred {
    /// One that has failed already.
    package static func failed(_ error: IOMMUError) -> Deferred {
        let deferred = Deferred()
        deferred.settle(.failure(error))
        return deferred
    }
}

extension Answer {
    /// What follows from what it comes to.
    package func flatMap<Other>(
        _ body: @escaping (Result<Value, IOMMUError>) -> Answer<Other>
    ) -> Answer<Other> {
        switch self {
        case .now(let value): return body(.success(value))
        case .later(let deferred):
            let made = Deferred<Other>()
            deferred.whenSettled { result in
                switch body(result) {
                case .now(let value): made.settle(.success(value))
                case .later(let next): next.whenSettled { made.settle($0) }
                }
            }
            return .later(made)
        }
    }
}
