import IOMMU

/// What an IOAS knows of all hwpts that follow it together, so that one more or one fewer costs the same however many
/// there are.
struct Followers {
    /// How far some of them translate; nothing outside can be mapped while they are there.
    final class Aperture {
        let range: AddressRange
        fileprivate var hwpts = 0

        fileprivate init(_ range: AddressRange) { self.range = range }
    }

    /// Few differ: one for each shape of table.
    private var apertures: [Aperture] = []
    /// How many there are for each smallest page, in bytes.
    private var smallestPages: [UInt64: Int] = [:]
    /// At most one for each driver.
    private var automatic: [PagingHWPT] = []

    /// The largest over each one's smallest page in bytes; 1 without any.
    var largestSmallestPage: UInt64 { smallestPages.keys.max() ?? 1 }

    func automatic(of driver: any TranslationDriver) -> PagingHWPT? { automatic.first { $0.driver === driver } }

    /// - Returns: its aperture, if none had the same.
    mutating func add(_ hwpt: PagingHWPT) -> Aperture? {
        smallestPages[hwpt.domain.smallestPage, default: 0] += 1
        if hwpt.isAutomatic { automatic.append(hwpt) }
        if let known = apertures.first(where: { $0.range == hwpt.domain.aperture }) {
            known.hwpts += 1
            return nil
        }
        let aperture = Aperture(hwpt.domain.aperture)
        aperture.hwpts = 1
        apertures.append(aperture)
        return aperture
    }

    /// - Returns: its aperture, if none is left that has the same.
    mutating func remove(_ hwpt: PagingHWPT) -> Aperture? {
        let page = hwpt.domain.smallestPage
        smallestPages[page] = smallestPages[page].flatMap { $0 > 1 ? $0 - 1 : nil }
        if hwpt.isAutomatic { automatic.removeAll { $0 === hwpt } }
        guard let index = apertures.firstIndex(where: { $0.range == hwpt.domain.aperture }) else { return nil }
        let aperture = apertures[index]
        aperture.hwpts -= 1
        guard aperture.hwpts == 0 else { return nil }
        apertures.remove(at: index)
        return aperture
    }
}
