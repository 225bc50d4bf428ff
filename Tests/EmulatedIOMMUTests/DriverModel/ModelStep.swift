import TestSupport

/// One thing done to the driver or through it. Numbers are indices into what the model world has.
enum ModelStep: Sendable {
    case map(domain: Int, place: Int, size: Int, frame: Int, writable: Bool, huge: Bool, memory: Int?)
    case unmap(domain: Int, index: Int, flush: Bool)
    case attach(device: Int, pasid: Int, domain: Int, memory: Int?)
    case dma(device: Int, pasid: Int, place: Int, page: Int, write: Bool)
    /// Where something is mapped, or was a moment ago.
    case dmaNear(device: Int, pasid: Int, index: Int, offset: Int, write: Bool)
    /// A new domain in the place of an unused one; its tag is the old one's again.
    case recycle(domain: Int)
    case moveASID(domain: Int)
    case track(domain: Int)
    case readDirty(domain: Int, index: Int, clear: Bool)
}

extension SeededGenerator {
    mutating func below(_ bound: Int) -> Int { next(below: bound) }

    mutating func step() -> ModelStep {
        switch below(100) {
        case 0..<18:
            .map(
                domain: below(ModelWorld.domainCount), place: below(64), size: below(6), frame: below(1 << 20),
                writable: below(3) > 0, huge: below(4) > 0, memory: below(20) == 0 ? below(4) : nil
            )
        case 18..<32: .unmap(domain: below(ModelWorld.domainCount), index: below(16), flush: below(3) > 0)
        case 32..<42:
            .attach(
                device: below(ModelWorld.deviceCount), pasid: below(4), domain: below(ModelWorld.domainCount + 2),
                memory: below(20) == 0 ? below(3) : nil
            )
        case 42..<44: .recycle(domain: below(ModelWorld.domainCount))
        case 44..<45: .moveASID(domain: below(ModelWorld.domainCount))
        case 45..<46: .track(domain: below(ModelWorld.domainCount))
        case 46..<49: .readDirty(domain: below(ModelWorld.domainCount), index: below(16), clear: below(2) == 0)
        case 49..<90:
            .dmaNear(
                device: below(ModelWorld.deviceCount), pasid: below(5) == 0 ? below(4) : 0, index: below(24),
                offset: below(1 << 18), write: below(2) == 0
            )
        default:
            .dma(
                device: below(ModelWorld.deviceCount), pasid: below(4), place: below(64), page: below(4),
                write: below(2) == 0
            )
        }
    }
}
