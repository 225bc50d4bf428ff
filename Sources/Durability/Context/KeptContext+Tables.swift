import IOMMU

/// The calls of iommufd that change something.
extension KeptContext {
    /// ``IOMMUContext/destroy(object:)``, written down.
    package func destroy(object: ObjectID) throws(IOMMUError) {
        try change({ _ in .destroy(object) }) { () throws(IOMMUError) in try inner.destroy(object: object) }
    }

    /// ``AnsweringLater/beginDestroy(object:)``, written down.
    package func beginDestroy(object: ObjectID) throws(IOMMUError) -> Answer<Void> {
        if living != nil, objectFiles[object] != nil { return try beginDestroy(keptObject: object) }
        return try begin({ _ in .destroy(object) }) { () throws(IOMMUError) in try inner.beginDestroy(object: object) }
    }

    /// ``IOMMUContext/allocateIOAS()``, written down.
    package func allocateIOAS() throws(IOMMUError) -> ObjectID {
        try change({ _ in .allocateIOAS }) { () throws(IOMMUError) in try inner.allocateIOAS() }
    }

    // MARK: Mappings

    /// More than the record of one mapping has.
    private static let mappingRecord = 96

    /// ``IOMMUContext/map(ioas:_:)``, written down.
    package func map(ioas: ObjectID, _ request: MapRequest) throws(IOMMUError) -> UInt64 {
        guard
            case .now(let iova) = try begin(
                map: ioas, request,
                { () throws(IOMMUError) in
                    .now(try inner.map(ioas: ioas, request))
                })
        else { return 0 }
        return iova
    }

    /// ``AnsweringLater/beginMap(ioas:_:)``, written down.
    package func beginMap(ioas: ObjectID, _ request: MapRequest) throws(IOMMUError) -> Answer<UInt64> {
        try begin(map: ioas, request) { () throws(IOMMUError) in try inner.beginMap(ioas: ioas, request) }
    }

    @inline(__always)
    private func begin(
        map ioas: ObjectID, _ request: MapRequest, _ body: () throws(IOMMUError) -> Answer<UInt64>
    ) throws(IOMMUError) -> Answer<UInt64> {
        try prepare(.map(ioas: ioas, []), Self.mappingRecord)
        let answer: Answer<UInt64>
        do throws(IOMMUError) { answer = try body() } catch {
            withdraw(Self.mappingRecord)
            throw error
        }
        switch answer {
        case .now(let iova):
            journal.append(promised: Self.mappingRecord, session: serial, ioas: ioas, request, at: iova)
            return answer
        case .later(let deferred):
            return .later(
                deferred.then { [self] result in
                    guard case .success(let iova) = result else { return withdraw(Self.mappingRecord) }
                    journal.append(promised: Self.mappingRecord, session: serial, ioas: ioas, request, at: iova)
                })
        }
    }

    /// ``IOMMUContext/map(ioas:many:)``, written down.
    package func map(ioas: ObjectID, many requests: [MapRequest]) throws(IOMMUError) -> [UInt64] {
        guard
            case .now(let iovas) = try begin(
                map: ioas, many: requests,
                { () throws(IOMMUError) in
                    .now(try inner.map(ioas: ioas, many: requests))
                })
        else { return [] }
        return iovas
    }

    /// ``AnsweringLater/beginMap(ioas:many:)``, written down.
    package func beginMap(ioas: ObjectID, many requests: [MapRequest]) throws(IOMMUError) -> Answer<[UInt64]> {
        try begin(map: ioas, many: requests) { () throws(IOMMUError) in
            try inner.beginMap(ioas: ioas, many: requests)
        }
    }

    private func begin(
        map ioas: ObjectID, many requests: [MapRequest], _ body: () throws(IOMMUError) -> Answer<[UInt64]>
    ) throws(IOMMUError) -> Answer<[UInt64]> {
        let bytes = Self.mappingRecord + 40 * requests.count
        try prepare(.map(ioas: ioas, []), bytes)
        let answer: Answer<[UInt64]>
        do throws(IOMMUError) { answer = try body() } catch {
            withdraw(bytes)
            throw error
        }
        let write = { [self] (iovas: [UInt64]) in
            guard !requests.isEmpty else { return withdraw(bytes) }
            journal.append(promised: bytes, session: serial, ioas: ioas, requests, at: iovas)
        }
        switch answer {
        case .now(let iovas):
            write(iovas)
            return answer
        case .later(let deferred):
            return .later(
                deferred.then { [self] result in
                    if case .success(let iovas) = result { write(iovas) } else { withdraw(bytes) }
                })
        }
    }

    /// ``IOMMUContext/unmap(ioas:iova:length:)``, written down.
    package func unmap(ioas: ObjectID, iova: UInt64, length: UInt64) throws(IOMMUError) -> UInt64 {
        try change({ $0 == 0 ? nil : .unmap(ioas: ioas, iova: iova, length: length) }, bytes: Self.mappingRecord) {
            () throws(IOMMUError) in try inner.unmap(ioas: ioas, iova: iova, length: length)
        }
    }

    /// ``AnsweringLater/beginUnmap(ioas:iova:length:)``, written down.
    package func beginUnmap(ioas: ObjectID, iova: UInt64, length: UInt64) throws(IOMMUError) -> Answer<UInt64> {
        try begin({ $0 == 0 ? nil : .unmap(ioas: ioas, iova: iova, length: length) }, bytes: Self.mappingRecord) {
            () throws(IOMMUError) in try inner.beginUnmap(ioas: ioas, iova: iova, length: length)
        }
    }

    /// ``IOMMUContext/copy(from:iova:length:to:iova:access:)``, written down.
    package func copy(
        from source: ObjectID, iova: UInt64, length: UInt64, to destination: ObjectID, iova fixed: UInt64?,
        access: Access
    ) throws(IOMMUError) -> UInt64 {
        try change({
            .copy(
                from: source, iova: iova, length: length, to: destination, target: $0 ?? fixed ?? 0, access: access)
        }) { () throws(IOMMUError) in
            try inner.copy(from: source, iova: iova, length: length, to: destination, iova: fixed, access: access)
        }
    }

    /// ``AnsweringLater/beginCopy(from:iova:length:to:iova:access:)``, written down.
    package func beginCopy(
        from source: ObjectID, iova: UInt64, length: UInt64, to destination: ObjectID, iova fixed: UInt64?,
        access: Access
    ) throws(IOMMUError) -> Answer<UInt64> {
        try begin({
            .copy(
                from: source, iova: iova, length: length, to: destination, target: $0 ?? fixed ?? 0, access: access)
        }) { () throws(IOMMUError) in
            try inner.beginCopy(from: source, iova: iova, length: length, to: destination, iova: fixed, access: access)
        }
    }

    /// ``IOMMUContext/allowIOVAs(ioas:ranges:)``, written down.
    package func allowIOVAs(ioas: ObjectID, ranges: [AddressRange]) throws(IOMMUError) {
        try change({ _ in .allowIOVAs(ioas: ioas, ranges) }, bytes: Self.mappingRecord + 20 * ranges.count) {
            () throws(IOMMUError) in try inner.allowIOVAs(ioas: ioas, ranges: ranges)
        }
    }

    /// ``IOMMUContext/setHugePages(ioas:_:)``, written down.
    package func setHugePages(ioas: ObjectID, _ enabled: Bool) throws(IOMMUError) {
        let before = try inner.hugePages(ioas: ioas)
        try change({ _ in before == enabled ? nil : .setHugePages(ioas: ioas, enabled) }) {
            () throws(IOMMUError) in try inner.setHugePages(ioas: ioas, enabled)
        }
    }

    // MARK: Devices

    /// ``IOMMUContext/bind(deviceNamed:)``, written down.
    package func bind(deviceNamed name: String) throws(IOMMUError) -> (device: ObjectID, group: UInt32?) {
        try change({ _ in .bind(name: name) }) { () throws(IOMMUError) in try inner.bind(deviceNamed: name) }
    }

    /// ``AnsweringLater/beginBind(deviceNamed:)``, written down.
    package func beginBind(
        deviceNamed name: String
    ) throws(IOMMUError) -> Answer<(device: ObjectID, group: UInt32?)> {
        try begin({ _ in .bind(name: name) }, keeping: { $0.device }) { () throws(IOMMUError) in
            try inner.beginBind(deviceNamed: name)
        }
    }

    /// ``IOMMUContext/unbind(device:)``, written down.
    package func unbind(device: ObjectID) throws(IOMMUError) {
        try change({ _ in .unbind(device: device) }) { () throws(IOMMUError) in try inner.unbind(device: device) }
    }

    /// Once this has returned the device is free for others, whatever is still to be freed: it is written down at once.
    package func beginUnbind(device: ObjectID) throws(IOMMUError) -> Answer<Void> {
        if living != nil { return try beginUnbind(keptDevice: device, force: false) }
        return try change({ _ in .unbind(device: device) }) { () throws(IOMMUError) in
            try inner.beginUnbind(device: device)
        }
    }

    /// ``IOMMUContext/attach(device:to:pasid:)``, written down.
    package func attach(device: ObjectID, to pt: ObjectID, pasid: UInt32?) throws(IOMMUError) -> ObjectID {
        try change({ _ in .attach(device: device, pt: pt, pasid: pasid) }) { () throws(IOMMUError) in
            try inner.attach(device: device, to: pt, pasid: pasid)
        }
    }

    /// ``AnsweringLater/beginAttach(device:to:pasid:)``, written down.
    package func beginAttach(device: ObjectID, to pt: ObjectID, pasid: UInt32?) throws(IOMMUError) -> Answer<ObjectID> {
        try begin({ _ in .attach(device: device, pt: pt, pasid: pasid) }) { () throws(IOMMUError) in
            try inner.beginAttach(device: device, to: pt, pasid: pasid)
        }
    }

    /// ``IOMMUContext/replace(device:with:pasid:)``, written down.
    package func replace(device: ObjectID, with pt: ObjectID, pasid: UInt32?) throws(IOMMUError) -> ObjectID {
        try change({ _ in .replace(device: device, pt: pt, pasid: pasid) }) { () throws(IOMMUError) in
            try inner.replace(device: device, with: pt, pasid: pasid)
        }
    }

    /// ``AnsweringLater/beginReplace(device:with:pasid:)``, written down.
    package func beginReplace(
        device: ObjectID, with pt: ObjectID, pasid: UInt32?
    ) throws(IOMMUError) -> Answer<ObjectID> {
        try begin({ _ in .replace(device: device, pt: pt, pasid: pasid) }) { () throws(IOMMUError) in
            try inner.beginReplace(device: device, with: pt, pasid: pasid)
        }
    }

    /// ``IOMMUContext/detach(device:pasid:)``, written down.
    package func detach(device: ObjectID, pasid: UInt32?) throws(IOMMUError) {
        try change({ _ in .detach(device: device, pasid: pasid) }) { () throws(IOMMUError) in
            try inner.detach(device: device, pasid: pasid)
        }
    }

    /// ``AnsweringLater/beginDetach(device:pasid:)``, written down.
    package func beginDetach(device: ObjectID, pasid: UInt32?) throws(IOMMUError) -> Answer<Void> {
        try begin({ _ in .detach(device: device, pasid: pasid) }) { () throws(IOMMUError) in
            try inner.beginDetach(device: device, pasid: pasid)
        }
    }
}
