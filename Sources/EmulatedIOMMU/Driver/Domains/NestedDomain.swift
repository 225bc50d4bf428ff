import IOMMU
import SMMUv3

/// A guest's stage 1 for one of its streams: the two STE words it gave, checked.
package final class NestedDomain {
    /// The guest, with the stage 2 below.
    package let viommu: DriverVIOMMU
    /// As the guest gave them; both 0 if its V was 0.
    package let vste: (UInt64, UInt64)
    /// How many devices translate through it.
    package internal(set) var userCount = 0

    init(viommu: DriverVIOMMU, vste: (UInt64, UInt64)) {
        (self.viommu, self.vste) = (viommu, vste)
    }

    var isValid: Bool { vste.0 & 1 != 0 }
    var configuration: StreamConfiguration {
        guard isValid else { return .abort }
        return StreamConfiguration(rawValue: vste.0 >> 1 & 7) ?? .abort
    }
    /// Its device may use ATS: a guest that translates says so, and then invalidates; without a stage 1 only the host
    /// has something to invalidate.
    var enablesATS: Bool {
        switch configuration {
        case .stage1: vste.1 >> 28 & 3 == 1
        case .bypass: true
        default: false
        }
    }

    // MARK: What a guest may set

    /// V, Config, S1Fmt, S1ContextPtr, S1CDMax
    static let allowedWord0: UInt64 = 0xf80f_ffff_ffff_ffff
    /// S1DSS, S1CIR, S1COR, S1CSH, S1STALLD, EATS
    static let allowedWord1: UInt64 = 0x3800_00ff

    /// - Throws: `EIO` for any bit that is the host's, a Config other than abort, bypass or stage 1, or EATS other
    ///   than none or full.
    static func validate(_ vste: (UInt64, UInt64)) throws(IOMMUError) -> (UInt64, UInt64) {
        guard vste.0 & 1 != 0 else { return (0, 0) }
        if let word = vste.0 & ~allowedWord0 != 0 ? 0 : vste.1 & ~allowedWord1 != 0 ? 1 : nil {
            let bits = word == 0 ? vste.0 & ~allowedWord0 : vste.1 & ~allowedWord1
            throw illegal("sets bits \(hexadecimal(bits)) of word \(word)", vste, bits)
        }
        switch StreamConfiguration(rawValue: vste.0 >> 1 & 7) {
        case .abort, .bypass, .stage1: break
        default: throw illegal("has a Config other than abort, bypass and stage 1", vste, vste.0 & 0xe)
        }
        guard vste.1 >> 28 & 3 <= 1 else {
            throw illegal("has an EATS other than none and full", vste, vste.1 & (3 << 28))
        }
        return vste
    }

    private static func illegal(_ why: String, _ vste: (UInt64, UInt64), _ bits: UInt64) -> IOMMUError {
        IOMMUError(
            .EIO, .illegalVSTE, "the guest's STE \(hexadecimal(vste.0)) \(hexadecimal(vste.1)) \(why)",
            hint: "set V, Config, S1Fmt, S1ContextPtr, S1CDMax, S1DSS, S1CIR, S1COR, S1CSH, S1STALLD and EATS; "
                + "the rest is the host's",
            ["ste": .words([vste.0, vste.1]), "bits": .hex(bits)]
        )
    }
}
