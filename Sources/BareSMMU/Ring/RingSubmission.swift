import CLinux
import IOMMU
import SMMUv3

/// One translation that a client asks for, read once.
struct RingSubmission {
    /// Given back with the completion.
    let tag: UInt64
    /// nil for what is no submission.
    let transaction: Transaction?

    private static let (privileged, hasSubstream): (UInt64, UInt64) = (1 << 2, 1 << 3)

    @inline(__always)
    init(at pointer: UnsafeMutableRawPointer) {
        tag = clinux_load64(pointer)
        let address = clinux_load64(pointer + 8)
        let ids = clinux_load64(pointer + 16)
        let flags = clinux_load64(pointer + 24)
        let hasSubstream = flags & Self.hasSubstream != 0
        let substreamID = UInt32(truncatingIfNeeded: ids &>> 32)
        // Without the flag there is no SubstreamID at all.
        guard flags &>> 6 == 0, let access = SMMUv3.Access(rawValue: UInt8(truncatingIfNeeded: flags & 3)),
            let kind = Self.kind(flags &>> 4), substreamID <= (hasSubstream ? 0xf_ffff : 0)
        else {
            transaction = nil
            return
        }
        transaction = Transaction(
            streamID: UInt32(truncatingIfNeeded: ids), substreamID: hasSubstream ? substreamID : nil, address: address,
            access: access, privileged: flags & Self.privileged != 0, addressType: kind)
    }

    @inline(__always)
    private static func kind(_ value: UInt64) -> AddressType? {
        switch value {
        case 0: .untranslated
        case 1: .translationRequest
        case 2: .translated
        default: nil
        }
    }
}

extension TransactionRequest {
    /// As whoever lists what is stalled knows it.
    init(_ transaction: Transaction) {
        let access: AccessKind =
            switch transaction.access {
            case .read: .read
            case .write: .write
            case .execute: .execute
            }
        let kind: TransactionKind =
            switch transaction.addressType {
            case .untranslated: .untranslated
            case .translationRequest: .translationRequest
            case .translated: .translated
            }
        self.init(
            streamID: transaction.streamID, pasid: transaction.substreamID, address: transaction.address,
            access: access, privileged: transaction.privileged, kind: kind)
    }
}
