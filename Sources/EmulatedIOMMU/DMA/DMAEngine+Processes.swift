import IOMMU

/// Accesses whose data lies in the memory of processes, which others move.
extension DMAEngine {
    func moveInProcess(_ piece: DeviceOperation, of access: DeviceAccess, segment: DeviceAccess.Segment) {
        transferring.append(access)
        let transfer = processTransfers?.begin(
            piece, at: segment.address, previous: access.outcome.checksum,
            completion: { [self] in transferEnded($0, piece: piece, of: access) }
        )
        guard let transfer else {
            transferring.removeAll { $0 === access }
            return access.fail(
                IOMMUError(
                    .EFAULT, .mmExited,
                    "the address space behind physical address \(hexadecimal(segment.address)) has ended",
                    hint: "bind that of a running process", ["physical_address": .hex(segment.address)]))
        }
        // An executor that works at once has finished it already.
        if transferring.contains(where: { $0 === access }) { access.transfer = transfer }
    }

    private func transferEnded(_ end: TransferEnd, piece: DeviceOperation, of access: DeviceAccess) {
        transferring.removeAll { $0 === access }
        access.transfer = nil
        guard access.result == nil else { return }
        switch end {
        case .moved(let bytes, let checksum): proceed(access, after: piece, bytes: bytes, checksum: checksum)
        // The tables were out of date; they are not any more. The access meets the fault that it has to meet.
        case .stale: makeReady(access)
        case .failed(let error): access.fail(error)
        // The page's fault says why, if it does not resolve.
        case .unreachable(let address) where access.unreachable != address:
            access.unreachable = address
            makeReady(access)
        case .unreachable(let address):
            access.fail(.unreachablePage(at: address))
        }
        pump()
    }
}
