import IOMMU

extension ObjectContext {
    @inline(__always)
    func ioas(_ id: ObjectID) throws(IOMMUError) -> IOAS { try table.object(id, .ioas, as: IOAS.self) }

    /// `IOMMU_IOAS_ALLOC`. `EDQUOT`.
    package func allocateIOAS() throws(IOMMUError) -> ObjectID {
        try chargeObject()
        let ioas = IOAS()
        enter(ioas)
        return ioas.id
    }

    // MARK: Map

    /// `IOMMU_IOAS_MAP_FILE`, into every hwpt of the IOAS.
    ///
    /// - Throws: `EOVERFLOW`, `EINVAL`, `ENOENT`, `EPERM` for memory that cannot be written, `EEXIST`, `ENOSPC`,
    ///   `EDQUOT`, `ENOMEM`. Then nothing has changed.
    package func map(ioas id: ObjectID, _ request: MapRequest) throws(IOMMUError) -> UInt64 {
        try checkRequest(request, ioas: id)
        let ioas = try ioas(id)
        let memory = try mapped(request.memory)
        return try map(
            ioas, ioas.hwpts, memory, at: memories.location(of: request.memory), request, isCharged: false)
    }

    /// What iommufd looks at before it looks for the objects: 2⁶⁴ - 1 is no address and no length, and nothing wraps
    /// in the memory object; then the access.
    @inline(__always)
    package func checkRequest(_ request: MapRequest, ioas: ObjectID) throws(IOMMUError) {
        guard request.access.rawValue != 0, request.length < .max, request.iova != .max,
            !request.offset.addingReportingOverflow(request.length).overflow
        else { throw badRequest(request, ioas: ioas) }
    }

    private func badRequest(_ request: MapRequest, ioas: ObjectID) -> IOMMUError {
        let isWide =
            request.length == .max || request.iova == .max
            || request.offset.addingReportingOverflow(request.length).overflow
        guard isWide else { return Self.noAccess(ioas) }
        return IOMMUError(
            .EOVERFLOW, .iovaOverflow,
            "\(span(request.length, at: request.iova ?? 0)), from \(hexadecimal(request.offset)) on, exceed 64 bits",
            hint: "keep iova + length and offset + length within 64 bits",
            [
                "ioas": .number(UInt64(ioas)), "iova": .hex(request.iova ?? 0), "length": .hex(request.length),
                "offset": .hex(request.offset),
            ])
    }

    /// `EPERM` where the memory is to be written and may not be.
    @inline(__always)
    package func checkRights(_ memory: MappedMemory, _ request: MapRequest, ioas: ObjectID) throws(IOMMUError) {
        guard memory.isWritable || !request.access.allowsWriting else { throw Self.notWritable(request, ioas: ioas) }
    }

    private static func notWritable(_ request: MapRequest, ioas: ObjectID) -> IOMMUError {
        IOMMUError(
            .EPERM, .memoryNotWritable, "memory object \(request.memory) cannot be written",
            hint: "map it for reading, or pass a writable descriptor without F_SEAL_WRITE",
            ["ioas": .number(UInt64(ioas)), "memory": .number(UInt64(request.memory))])
    }

    package static func noAccess(_ ioas: ObjectID) -> IOMMUError {
        IOMMUError(
            .EINVAL, .noAccess, "a mapping of ioas \(ioas) would allow neither reading nor writing",
            hint: "name one or both in access, or leave access out for both", ["ioas": .number(UInt64(ioas))])
    }

    /// - Parameter hwpts: Those of the IOAS, held by the caller: so none has to be held for each mapping.
    @inline(__always)
    func map(
        _ ioas: IOAS, _ hwpts: ContiguousArray<PagingHWPT>, _ memory: MappedMemory, at location: UInt64,
        _ request: MapRequest, isCharged: Bool
    ) throws(IOMMUError) -> UInt64 {
        try checkRights(memory, request, ioas: ioas.id)
        try ioas.checkShape(iova: request.iova ?? 0, length: request.length)
        try checkRange(of: memory, id: request.memory, offset: request.offset, length: request.length)
        return try enter(
            ioas, hwpts, memory, at: location, id: request.memory, offset: request.offset, length: request.length,
            fixed: request.iova, access: request.access, isCharged: isCharged)
    }

    /// Chooses the IOVA where none is given, charges the account if need be and enters the mapping everywhere.
    @inline(__always)
    func enter(
        _ ioas: IOAS, _ hwpts: ContiguousArray<PagingHWPT>, _ memory: MappedMemory, at location: UInt64, id: ObjectID,
        offset: UInt64, length: UInt64, fixed: UInt64?, access: Access, isSourceWritable: Bool? = nil, isCharged: Bool
    ) throws(IOMMUError) -> UInt64 {
        let iova: UInt64
        if let fixed {
            try ioas.checkUsable(iova: fixed, length: length)
            iova = fixed
        } else {
            iova = try ioas.allocate(length: length, offset: offset)
        }
        try ioas.checkOffset(offset, iova: iova, length: length)
        if !isCharged { try chargeMappings(1, bytes: length) }
        do {
            let area = Area(
                start: iova, last: iova &+ (length &- 1), offset: offset, memory: id, access: access,
                isSourceWritable: isSourceWritable)
            try ioas.insert(area, physical: location &+ offset, hwpts)
        } catch {
            if !isCharged { releaseMappings(1, bytes: length) }
            throw error
        }
        memory.mappings += 1
        return iova
    }

    /// Takes room for mappings that are to be made; `EDQUOT`, and nothing charged, if there is none.
    package func chargeMappings(_ count: Int, bytes: UInt64) throws(IOMMUError) {
        guard count <= limits.mappings - mappingCount else {
            throw .overLimit(limits.mappings, of: "mappings", key: "mappings_per_session")
        }
        try account.charge(UInt64(count), of: .mappings)
        do {
            try account.charge(bytes, of: .mappedBytes)
        } catch {
            account.release(UInt64(count), of: .mappings)
            throw error
        }
        layoutGeneration &+= 1
        mappingCount += count
        mapped &+= bytes
    }

    /// Gives back what ``chargeMappings(_:bytes:)`` took.
    package func releaseMappings(_ count: Int, bytes: UInt64) {
        layoutGeneration &+= 1
        mappingCount -= count
        mapped &-= bytes
        account.release(UInt64(count), of: .mappings)
        account.release(bytes, of: .mappedBytes)
    }

    /// All or none, with `index` in the refusal; as ``map(ioas:_:)``.
    package func map(ioas id: ObjectID, many requests: [MapRequest]) throws(IOMMUError) -> [UInt64] {
        let ioas = try ioas(id, for: requests)
        let charged = chargeTogether(requests)
        var iovas: [UInt64] = []
        iovas.reserveCapacity(requests.count)
        do {
            let hwpts = ioas.hwpts
            while iovas.count < requests.count {
                // Most requests name the memory object of the one before.
                let id = requests[iovas.count].memory
                let memory = try mapped(id)
                let location = memories.location(of: id)
                while iovas.count < requests.count, requests[iovas.count].memory == id {
                    try checkRequest(requests[iovas.count], ioas: ioas.id)
                    iovas.append(
                        try map(ioas, hwpts, memory, at: location, requests[iovas.count], isCharged: charged != nil))
                }
            }
        } catch {
            // Taking a mapping out releases its charge: what is left of it belongs to those that never were.
            for iova in iovas.reversed() { remove(at: iova, from: ioas) }
            ioas.flush()
            if let charged {
                let mapped = requests.prefix(iovas.count).reduce(0) { $0 &+ $1.length }
                releaseMappings(requests.count - iovas.count, bytes: charged &- mapped)
            }
            throw error.with("index", .number(UInt64(iovas.count)))
        }
        return iovas
    }

    /// Where there is no such IOAS, a request that could go nowhere is what is told.
    func ioas(_ id: ObjectID, for requests: [MapRequest]) throws(IOMMUError) -> IOAS {
        do {
            return try ioas(id)
        } catch {
            for (index, request) in requests.enumerated() {
                do {
                    try checkRequest(request, ioas: id)
                } catch {
                    throw error.with("index", .number(UInt64(index)))
                }
            }
            throw error
        }
    }

    /// Takes room for all of them at once; returns the bytes. `nil` if there is not enough: then they are charged one
    /// by one, so that the refusal names the first one too many.
    private func chargeTogether(_ requests: [MapRequest]) -> UInt64? {
        var bytes: UInt64 = 0
        for request in requests {
            let (sum, overflow) = bytes.addingReportingOverflow(request.length)
            guard !overflow else { return nil }
            bytes = sum
        }
        guard (try? chargeMappings(requests.count, bytes: bytes)) != nil else { return nil }
        return bytes
    }

    /// Takes out one mapping; the caller flushes.
    @inline(__always)
    func remove(at iova: UInt64, from ioas: IOAS) {
        guard let area = ioas.areas.first(endingAtOrAfter: iova)?.area else { return }
        ioas.remove(area)
        memories.unmapped(area.memory)
        releaseMappings(1, bytes: area.length)
    }

    // MARK: Unmap

    /// `IOMMU_IOAS_UNMAP`: whole mappings, several at once; 0 and 2⁶⁴ - 1 stand for all.
    ///
    /// - Returns: bytes.
    /// - Throws: `ENOENT` for an unknown IOAS, nothing there or a mapping that would be cut; `EINVAL`, `EOVERFLOW`.
    package func unmap(ioas id: ObjectID, iova: UInt64, length: UInt64) throws(IOMMUError) -> UInt64 {
        let ioas = try ioas(id)
        if iova == 0, length == .max { return unmapAll(ioas) }
        let last = try last(of: ioas, iova, length)
        return unmap(ioas, try ioas.extent(start: iova, last: last), last: last)
    }

    /// `EINVAL`, `EOVERFLOW` for a range that cannot be unmapped.
    @inline(__always)
    func last(of ioas: IOAS, _ iova: UInt64, _ length: UInt64) throws(IOMMUError) -> UInt64 {
        guard length > 0 || iova == .max else {
            throw ioas.refusal(
                .EINVAL, .zeroLength, "the range at \(hexadecimal(iova)) has no bytes", iova, length,
                hint: "give a length; iova 0 with length 0xffffffffffffffff unmaps everything")
        }
        let (last, overflow) = iova.addingReportingOverflow(length &- 1)
        // As in iommufd, 2⁶⁴ - 1 is no address and, but for everything, no length.
        guard !overflow, iova < .max, length < .max else {
            throw ioas.wraps(iova, length)
        }
        return last
    }

    /// Takes out all mappings from `first` to an address.
    ///
    /// - Returns: bytes.
    @inline(__always)
    func unmap(_ ioas: IOAS, _ first: AreaMap.Position, last: UInt64) -> UInt64 {
        let before = ioas.mappedBytes
        var (next, end) = (first.start, first.last)
        remove(at: next, from: ioas)
        while end < last, let position = ioas.areas.first(endingAtOrAfter: end &+ 1), position.start <= last {
            (next, end) = (position.start, position.last)
            remove(at: next, from: ioas)
        }
        ioas.flush()
        return before &- ioas.mappedBytes
    }

    func unmapAll(_ ioas: IOAS) -> UInt64 {
        var bytes: UInt64 = 0
        var position = ioas.areas.first(endingAtOrAfter: 0)
        while let current = position {
            let area = current.area
            for hwpt in ioas.hwpts { hwpt.domain.unmap(iova: area.start, length: area.length) }
            memories.unmapped(area.memory)
            bytes &+= area.length
            position = current.next
        }
        ioas.flush()
        releaseMappings(ioas.areas.count, bytes: bytes)
        ioas.removeAllMappings()
        return bytes
    }
}
