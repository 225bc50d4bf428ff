import IOMMU

extension ObjectContext {
    @inline(__always)
    func ioas(_ id: ObjectID) throws(IOMMUError) -> IOAS { try table.object(id, .ioas, as: IOAS.self) }

    package func allocateIOAS() throws(IOMMUError) -> ObjectID {
        try chargeObject()
        let ioas = IOAS()
        table.insert(ioas)
        return ioas.id
    }

    // MARK: Map

    package func map(ioas id: ObjectID, _ request: MapRequest) throws(IOMMUError) -> UInt64 {
        let ioas = try ioas(id)
        let memory = try memory(request.memory)
        return try map(
            ioas, ioas.hwpts, memory, at: memories.location(of: request.memory), request, isCharged: false)
    }

    /// - Parameter hwpts: Those of the IOAS, held by the caller: so none has to be held for each mapping.
    @inline(__always)
    private func map(
        _ ioas: IOAS, _ hwpts: ContiguousArray<PagingHWPT>, _ memory: MemoryObject, at location: UInt64,
        _ request: MapRequest, isCharged: Bool
    ) throws(IOMMUError) -> UInt64 {
        guard request.access.rawValue != 0 else {
            throw IOMMUError(
                .EINVAL, .noAccess, "a mapping allows reading, writing or both",
                hint: "name one in access, or leave access out for both", ["ioas": .number(UInt64(ioas.id))])
        }
        guard memory.isWritable || !request.access.allowsWriting else {
            throw IOMMUError(
                .EPERM, .memoryNotWritable, "memory object \(request.memory) cannot be written",
                hint: "map it for reading, or pass a writable descriptor without F_SEAL_WRITE",
                ["ioas": .number(UInt64(ioas.id)), "memory": .number(UInt64(request.memory))])
        }
        try ioas.checkShape(iova: request.iova ?? 0, length: request.length, offset: request.offset)
        try checkRange(of: memory, id: request.memory, offset: request.offset, length: request.length)
        return try enter(
            ioas, hwpts, memory, at: location, id: request.memory, offset: request.offset, length: request.length,
            fixed: request.iova, access: request.access, isCharged: isCharged)
    }

    /// Chooses the IOVA where none is given, charges the account if need be and enters the mapping everywhere.
    @inline(__always)
    private func enter(
        _ ioas: IOAS, _ hwpts: ContiguousArray<PagingHWPT>, _ memory: MemoryObject, at location: UInt64, id: ObjectID,
        offset: UInt64, length: UInt64, fixed: UInt64?, access: Access, isCharged: Bool
    ) throws(IOMMUError) -> UInt64 {
        let physical = location &+ offset
        let iova: UInt64
        if let fixed {
            try ioas.checkUsable(iova: fixed, length: length)
            iova = fixed
        } else {
            iova = try ioas.allocate(length: length, physical: physical)
        }
        if !isCharged { try chargeMappings(1, bytes: length) }
        do {
            let area = Area(start: iova, last: iova &+ (length &- 1), offset: offset, memory: id, access: access)
            try ioas.insert(area, physical: physical, hwpts)
        } catch {
            if !isCharged { releaseMappings(1, bytes: length) }
            throw error
        }
        memory.mappings += 1
        return iova
    }

    private func chargeMappings(_ count: Int, bytes: UInt64) throws(IOMMUError) {
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
        mappingCount += count
        mappedBytes &+= bytes
    }

    private func releaseMappings(_ count: Int, bytes: UInt64) {
        mappingCount -= count
        mappedBytes &-= bytes
        account.release(UInt64(count), of: .mappings)
        account.release(bytes, of: .mappedBytes)
    }

    package func map(ioas id: ObjectID, many requests: [MapRequest]) throws(IOMMUError) -> [UInt64] {
        let ioas = try ioas(id)
        let charged = chargeTogether(requests)
        var iovas: [UInt64] = []
        iovas.reserveCapacity(requests.count)
        do {
            let hwpts = ioas.hwpts
            while iovas.count < requests.count {
                // Most requests name the memory object of the one before.
                let id = requests[iovas.count].memory
                let memory = try memory(id)
                let location = memories.location(of: id)
                while iovas.count < requests.count, requests[iovas.count].memory == id {
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
    private func remove(at iova: UInt64, from ioas: IOAS) {
        guard let area = ioas.areas.first(endingAtOrAfter: iova)?.area else { return }
        ioas.remove(area)
        memories[area.memory]?.mappings -= 1
        releaseMappings(1, bytes: area.length)
    }

    // MARK: Unmap

    package func unmap(ioas id: ObjectID, iova: UInt64, length: UInt64) throws(IOMMUError) -> UInt64 {
        let ioas = try ioas(id)
        if iova == 0, length == .max { return unmapAll(ioas) }
        guard length > 0 else {
            throw ioas.refusal(
                .EINVAL, .zeroLength, "nothing is named to be unmapped", iova, length,
                hint: "iova 0 with length 0xffffffffffffffff unmaps everything")
        }
        let (last, overflow) = iova.addingReportingOverflow(length - 1)
        // As in iommufd, 2⁶⁴ - 1 is no address and, but for everything, no length.
        guard !overflow, iova < .max, length < .max else {
            throw ioas.refusal(
                .EOVERFLOW, .iovaOverflow, "the range wraps at the end of the address space", iova, length)
        }
        let extent = try ioas.extent(start: iova, last: last)
        var next = extent.first.start
        for remaining in stride(from: extent.count, to: 0, by: -1) {
            remove(at: next, from: ioas)
            if remaining > 1, let position = ioas.areas.first(endingAtOrAfter: next) { next = position.start }
        }
        ioas.flush()
        return extent.bytes
    }

    func unmapAll(_ ioas: IOAS) -> UInt64 {
        var bytes: UInt64 = 0
        var position = ioas.areas.first(endingAtOrAfter: 0)
        while let current = position {
            let area = current.area
            for hwpt in ioas.hwpts { hwpt.domain.unmap(iova: area.start, length: area.length) }
            memories[area.memory]?.mappings -= 1
            bytes &+= area.length
            position = current.next
        }
        ioas.flush()
        releaseMappings(ioas.areas.count, bytes: bytes)
        ioas.removeAllMappings()
        return bytes
    }

    // MARK: Copy

    package func copy(
        from source: ObjectID, iova: UInt64, length: UInt64, to destination: ObjectID, iova fixed: UInt64?,
        access: Access
    ) throws(IOMMUError) -> UInt64 {
        let (from, to) = (try ioas(source), try ioas(destination))
        guard !access.isEmpty else {
            throw IOMMUError(
                .EINVAL, .noAccess, "a mapping allows reading, writing or both",
                hint: "name one in access, or leave access out for both", ["ioas": .number(UInt64(destination))])
        }
        let pieces = try pieces(of: from, iova: iova, length: length, access: access)
        guard let start = pieces.first else { return iova }
        try to.checkShape(iova: fixed ?? 0, length: length, offset: start.offset)
        for piece in pieces { try to.checkShape(iova: 0, length: piece.length, offset: piece.offset) }
        let physical = memories.location(of: start.memory) &+ start.offset
        let target: UInt64
        if let fixed {
            try to.checkUsable(iova: fixed, length: length)
            target = fixed
        } else {
            target = try to.allocate(length: length, physical: physical)
        }
        var next = target
        do {
            for piece in pieces {
                _ = try enter(
                    to, to.hwpts, try memory(piece.memory), at: memories.location(of: piece.memory), id: piece.memory,
                    offset: piece.offset, length: piece.length, fixed: next, access: access, isCharged: false)
                next &+= piece.length
            }
        } catch {
            var undone = target
            for piece in pieces where undone < next {
                remove(at: undone, from: to)
                undone &+= piece.length
            }
            to.flush()
            throw error
        }
        return target
    }

    /// What is mapped there, cut to the range: `ENOENT` for a hole, `EPERM` for writing what is read-only.
    private func pieces(
        of ioas: IOAS, iova: UInt64, length: UInt64, access: Access
    ) throws(IOMMUError) -> [Area] {
        guard length > 0 else {
            throw ioas.refusal(.EINVAL, .zeroLength, "a mapping has at least one byte", iova, length)
        }
        let (last, overflow) = iova.addingReportingOverflow(length - 1)
        guard !overflow else {
            throw ioas.refusal(
                .EOVERFLOW, .iovaOverflow, "the range wraps at the end of the address space", iova, length)
        }
        var pieces: [Area] = []
        var next = iova
        var position = ioas.areas.first(endingAtOrAfter: iova)
        while true {
            guard let here = position, here.start <= next else {
                throw ioas.refusal(
                    .ENOENT, .notMapped, "the source range has a hole", next, last &- next &+ 1,
                    hint: "ioas.mappings lists what is mapped")
            }
            var area = here.area
            guard !access.allowsWriting || area.access.allowsWriting else {
                throw ioas.refusal(
                    .EPERM, .copyAddsWrite, "a read-only mapping cannot be copied as a writable one", area.start,
                    area.length, hint: "copy it with access read")
            }
            area.offset &+= next &- area.start
            area.start = next
            area.last = min(area.last, last)
            pieces.append(area)
            guard area.last < last else { return pieces }
            next = area.last &+ 1
            position = here.next
        }
    }
}
