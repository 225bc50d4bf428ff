import IOMMU

extension SVAManager: LentMemory {
    /// Up to the end of the mapping's window.
    package func lentBytes(at physicalAddress: UInt64) -> UInt64? { lent.place(at: physicalAddress)?.length }

    /// By the helpers, as for shared address spaces.
    package func move(
        _ piece: DeviceOperation, completion: @escaping (LentEnd) -> Void
    ) -> (any DataTransfer)? {
        guard let place = lent.place(at: piece.start), place.space.isLive, let process = place.space.process else {
            completion(.absent(after: 0))
            return nil
        }
        let (space, address) = (place.space, place.address)
        return memory.move(piece.moved(to: address), previous: nil, in: process, for: space.ticket) { result in
            switch result {
            case .success(let moved): completion(.moved(moved.bytes))
            case .failure(.refused(let error)): completion(.failed(error))
            case .failure(.memory(.denied(let there))): completion(.absent(after: there &- address))
            case .failure(.memory(.unreachable(let there))): completion(.unreachable(after: there &- address))
            case .failure(.memory(.gone)):
                space.exit()
                completion(.absent(after: 0))
            }
        }
    }
}

extension DeviceOperation {
    /// The same, of reading or writing, elsewhere.
    fileprivate func moved(to address: UInt64) -> DeviceOperation {
        switch self {
        case .read(_, let length): .read(address, length: length)
        case .write(_, let bytes): .write(address, bytes)
        case .fill(_, let length, let value): .fill(address, length: length, value: value)
        case .checksum(_, let length): .checksum(address, length: length)
        case .copy(_, let target, let length): .copy(from: address, to: target, length: length)
        }
    }
}
