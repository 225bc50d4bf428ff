import IOMMU
import IOMMUObjects

/// A device that is bound to an iommufd.
final class KernelDevice: KernelObject {
    /// Under which key an attachment without a PASID is kept.
    static let ridKey: UInt32 = 0

    let name: String
    let group: UInt32?
    let bound: any BoundDevice
    /// Bits of its PASIDs, as the kernel tells them; 0: none.
    let pasidBits: Int
    /// By PASID.
    var attachments: [UInt32: KernelHWPT] = [:]
    weak var vdevice: KernelVDevice?
    /// Somebody else has its descriptor, or had.
    var isExported = false
    /// It has been unplugged.
    var isRemoved = false

    init(_ bound: any BoundDevice, name: String, group: UInt32?, pasidBits: Int) {
        (self.bound, self.name, self.group, self.pasidBits) = (bound, name, group, pasidBits)
        super.init(.device, id: bound.id)
    }

    override var users: Int { vdevice == nil ? 0 : 1 }
    override var references: [KernelObject] {
        attachments.sorted { $0.key < $1.key }.flatMap { attachment -> [KernelObject] in
            switch attachment.value.base {
            case .ioas(let ioas): [attachment.value.isDirect ? ioas : attachment.value]
            case .viommu(let viommu, _): [attachment.value, viommu.hwpt]
            }
        }
    }

    override var state: [IOMMUError.Member] {
        var members: [IOMMUError.Member] = [.init("name", .text(name))]
        if let group { members.append(.init("group", .number(UInt64(group)))) }
        if isRemoved { members.append(.init("state", .text("removed"))) }
        if let hwpt = attachments[Self.ridKey] { members.append(.init("hwpt", .number(UInt64(hwpt.id)))) }
        let pasids = attachments.filter { $0.key != Self.ridKey }.sorted { $0.key < $1.key }
        if !pasids.isEmpty {
            members.append(.init("pasids", .object(pasids.map { .init("\($0.key)", .number(UInt64($0.value.id))) })))
        }
        return members
    }
}
