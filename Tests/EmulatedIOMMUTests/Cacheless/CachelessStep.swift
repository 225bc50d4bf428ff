import TestSupport

/// One thing done to the driver or through it. Numbers are indices into what the world has.
enum CachelessStep: Sendable {
    case map(domain: Int, place: Int, size: Int, frame: Int)
    case unmap(domain: Int, index: Int)
    /// The guest above a nest parent changes its tables and says so.
    case guestMap(parent: Int, table: Int, place: Int, to: Int?)
    case attach(device: Int, pasid: Int, domain: Int?)
    case attachNested(device: Int, parent: Int, hwpt: Int)
    /// A virtual machine ends, to live again with other tables: its devices go to the parent, or are detached.
    case rebirth(parent: Int, toParent: Bool)
    /// A device is unplugged, and another one plugged in at its place.
    case replug(device: Int)
    case recycle(domain: Int)
    case readDirty(domain: Int)
    case dma(device: Int, pasid: Int, place: Int, page: Int, write: Bool)
}

extension SeededGenerator {
    /// Few places, so that accesses meet what others did: neighbouring pages, and slots of a megabyte.
    private mutating func place() -> Int { [0, 1, 2, 3, 4, 5, 24, 25, 26, 28][below(10)] }

    mutating func cachelessStep() -> CachelessStep {
        let domain = below(CachelessWorld.domainCount)
        let device = below(CachelessWorld.deviceCount)
        switch below(100) {
        case 0..<12:
            return .map(
                domain: domain, place: place(), size: [0, 0, 0, 1, 2, 3, 4][below(7)], frame: below(1 << 20))
        case 12..<18: return .unmap(domain: domain, index: below(16))
        case 18..<26:
            return .guestMap(parent: below(2), table: below(2), place: place(), to: below(6) == 0 ? nil : place())
        case 26..<29: return .attach(device: device, pasid: below(3), domain: below(8) == 0 ? nil : domain)
        case 29..<33: return .attachNested(device: device, parent: below(2), hwpt: below(5))
        case 33: return .rebirth(parent: below(2), toParent: below(2) == 0)
        case 34: return below(2) == 0 ? .replug(device: device) : .recycle(domain: domain)
        case 35: return .readDirty(domain: 2)
        default:
            return .dma(
                device: device, pasid: below(5) == 0 ? below(3) : 0, place: place(), page: below(4) == 0 ? 1 : 0,
                write: below(2) == 0)
        }
    }
}
