//! Pages of places: each page is cut into places of one size class. Knows lengths, and which places are vacant; what lies in them is of no matter, but
//! for two bytes that tell an occupied place from a vacant one.
//!
//! ```text
//! occupied   2 bytes | not FFFF | anything
//! vacant     2 bytes |   FFFF   | the next vacant place of the page, u16, or NONE
//! ```
//! A place that is vacated is the next one given out. Where entries of a class become fewer, its pages are held together: when more is vacant
//! than a whole page and a part of what is occupied, the emptiest of some pages is *evacuated*: it is given nothing new, and what it holds is moved out, a
//! few places at a time, by whoever knows how to tell the others of it. So what is vacant in all is a few per cent and one page of each class,
//! whatever came and went before.

mod classes;

use super::paged::Paged;
pub(super) use classes::LONGEST;
use classes::{CLASSES, class_of, size_of_class};

/// Bytes of a page: a size of which the allocator loses nothing. (mimalloc 3 loses 2 % of 56 KiB, 7 % of 60 KiB, and 0.5 % of 64 KiB.)
const PAGE_BYTES: usize = 64 << 10;
/// A page is not smaller than this, so that four of the longest fit; or, where there are so many of these that their half-filled pages would be more than is
/// promised beyond what is charged, one of the longest.
const LEAST_PAGE_BYTES: usize = 16 << 10;
const LONGEST_ALONE: usize = 4 << 10;
/// What half-filled pages may take in all, about.
const HALF_FILLED: usize = 32 << 20;
/// A page has at most this many places.
const MOST_PLACES: usize = 1 << PLACE_BITS;
const PLACE_BITS: u32 = 12;
/// There are at most this many pages: 32 GiB of them.
const MOST_PAGES: usize = 1 << (31 - PLACE_BITS);
/// The first page of a class begins with this many bytes, and doubles: a small cache stays small.
const FIRST_BYTES: usize = 512;
/// Empty pages kept for the next class that wants one.
const SPARE_PAGES: usize = 4;
/// So many pages are looked at for the emptiest.
const CANDIDATES: usize = 8;
/// Vacant places that are no matter: one to so many occupied ones.
const TOLERATED: usize = 32;
/// The second two bytes of a vacant place.
const VACANT: [u8; 2] = [0xFF; 2];
const NONE: u16 = u16::MAX;
const UNLISTED: u32 = u32::MAX;

/// Where something lies: the number of a page, and the place there. Below 2^31.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Place(pub(super) u32);

#[derive(Debug)]
pub(super) struct Pages {
    /// As many as there are pages, and apart from what else is known of those: a read looks at nothing but this.
    areas: Vec<Area>,
    pages: Paged<Page>,
    /// Numbers of pages that are not there.
    unused: Vec<u32>,
    spare: Vec<Box<[u8]>>,
    classes: Box<[Class; CLASSES]>,
    page_bytes: usize,
    evacuation: Option<Evacuation>,
    /// Bytes of the pages that are there, those in reserve not included; and of the places that are occupied.
    held: usize,
    occupied: usize,
}

/// The memory of a page.
#[derive(Debug, Default)]
struct Area {
    /// None if the page is not there.
    bytes: Box<[u8]>,
    /// Of its places.
    size: u16,
}

#[derive(Debug, Clone, Copy)]
struct Page {
    class: u8,
    places: u16,
    /// Places that are occupied.
    used: u16,
    /// Places that have been given out at some time: those behind have never been written.
    begun: u16,
    /// The first of a chain of vacant places.
    vacant: u16,
    /// Where in its class's list of open pages it is.
    listed: u32,
}

#[derive(Debug)]
struct Class {
    /// Places of a page.
    places: usize,
    /// What a place costs, its part of what is left over at the end of a page included.
    cost: u64,
    /// Pages with a vacant place, but for one that is being evacuated. The last is used next.
    open: Vec<u32>,
    pages: usize,
    used: usize,
    /// Its first page, until that is as large as all others.
    growing: Option<u32>,
}

#[derive(Debug, Clone, Copy)]
struct Evacuation {
    page: u32,
    /// Places before this one are vacant.
    next: u16,
}

impl Pages {
    /// For so many bytes in all, about: small caches have small pages. And as one of so many, of which each has pages of each class.
    pub(super) fn new(max_bytes: u64, shards: usize) -> Self {
        let page_bytes = usize::try_from(max_bytes / 1024).unwrap_or(usize::MAX);
        let least = (HALF_FILLED / (shards * CLASSES)).clamp(LONGEST_ALONE, LEAST_PAGE_BYTES);
        let page_bytes = 1 << page_bytes.clamp(least, PAGE_BYTES).ilog2();
        Pages {
            areas: Vec::new(),
            pages: Paged::new(),
            unused: Vec::new(),
            spare: Vec::new(),
            classes: Box::new(std::array::from_fn(|class| Class::new(class, page_bytes))),
            page_bytes,
            evacuation: None,
            held: 0,
            occupied: 0,
        }
    }

    /// Bytes of pages in which nothing lies.
    #[inline]
    pub(super) const fn vacant(&self) -> usize {
        self.held - self.occupied
    }

    /// What a place for `len` bytes costs, its part of what is left over at the end of a page included.
    #[inline]
    pub(super) fn cost(&self, len: usize) -> u64 {
        self.classes[class_of(len)].cost
    }

    /// What a place that was taken costs.
    #[inline]
    pub(super) fn cost_of(&self, place: Place) -> u64 {
        let (number, _) = place.parts();
        self.classes[usize::from(self.pages[number].class)].cost
    }

    /// Takes a place of `len` bytes, to be written at once, so that it does not look like a vacant one. `None` if there are as many pages as can be numbered.
    pub(super) fn take(&mut self, len: usize) -> Option<Place> {
        let class = class_of(len);
        let number = match self.classes[class].open.last() {
            Some(&number) => number,
            None => self.open_page(class)?,
        };
        let page = &mut self.pages[number];
        let place = if page.vacant == NONE {
            page.begun += 1;
            page.begun - 1
        } else {
            let place = page.vacant;
            page.vacant = next_vacant(self.areas[number as usize].place(place));
            place
        };
        page.used += 1;
        self.occupied += usize::from(self.areas[number as usize].size);
        if page.used == page.places {
            page.listed = UNLISTED;
            self.classes[class].open.pop();
        }
        self.classes[class].used += 1;
        Some(Place(number << PLACE_BITS | u32::from(place)))
    }

    pub(super) fn give_back(&mut self, place: Place) {
        let (number, place) = place.parts();
        let page = &mut self.pages[number];
        let class = usize::from(page.class);
        vacate(self.areas[number as usize].place_mut(place), page.vacant);
        page.vacant = place;
        page.used -= 1;
        self.occupied -= usize::from(self.areas[number as usize].size);
        let is_empty = page.used == 0;
        let is_listed = page.listed != UNLISTED;
        self.classes[class].used -= 1;
        let is_evacuated = self
            .evacuation
            .is_some_and(|evacuation| evacuation.page == number);
        if is_empty {
            if is_evacuated {
                self.evacuation = None;
            }
            self.close_page(number);
        } else if !is_listed && !is_evacuated {
            self.list(number);
        }
        if self.evacuation.is_none() {
            // Others may have become loose while one page was evacuated, and may never see anything given back again.
            let looked_at = if is_evacuated { CLASSES } else { 1 };
            let loose = (0..looked_at).map(|n| (class + n) % CLASSES);
            if let Some(class) = loose.into_iter().find(|&class| self.is_loose(class)) {
                self.evacuate_one(class);
            }
        }
    }

    #[inline]
    pub(super) fn bytes(&self, place: Place) -> &[u8] {
        let (number, place) = place.parts();
        self.areas[number as usize].place(place)
    }

    /// A place and what follows it on its page.
    #[inline]
    pub(super) fn bytes_from(&self, place: Place) -> &[u8] {
        let (number, place) = place.parts();
        let area = &self.areas[number as usize];
        &area.bytes[area.range(place).start..]
    }

    #[inline]
    pub(super) fn bytes_mut(&mut self, place: Place) -> &mut [u8] {
        let (number, place) = place.parts();
        self.areas[number as usize].place_mut(place)
    }

    /// Whether a place is as long as one for `len` bytes.
    #[inline]
    pub(super) fn is_as_long(&self, place: Place, len: usize) -> bool {
        let (number, _) = place.parts();
        usize::from(self.pages[number].class) == class_of(len)
    }

    /// Whether something is to be moved: see `straggler`.
    pub(super) const fn is_being_evacuated(&self) -> bool {
        self.evacuation.is_some()
    }

    /// A place whose content is to be moved to another, which `take` gives. If it is not, it will be given again.
    pub(super) fn straggler(&mut self) -> Option<Place> {
        let evacuation = self.evacuation.as_mut()?;
        let area = &self.areas[evacuation.page as usize];
        while is_vacant(area.place(evacuation.next)) {
            evacuation.next += 1;
        }
        Some(Place(evacuation.page << PLACE_BITS | u32::from(evacuation.next)))
    }

    /// Copies a place that `straggler` gave to another. `None` if there is no other.
    pub(super) fn copy(&mut self, from: Place) -> Option<Place> {
        let (old, place) = from.parts();
        let to = self.take(usize::from(self.areas[old as usize].size))?;
        let (new, new_place) = to.parts();
        let areas = self.areas.get_disjoint_mut([old as usize, new as usize]);
        let [old, new] = areas.expect("what is evacuated is given nothing new");
        new.place_mut(new_place).copy_from_slice(old.place(place));
        Some(to)
    }

    /// What `straggler` gave cannot be moved: the page is one as all others again.
    pub(super) fn give_up_evacuation(&mut self) {
        if let Some(Evacuation { page, .. }) = self.evacuation.take() {
            self.list(page);
        }
    }

    /// A page of this class with a vacant place, listed last.
    fn open_page(&mut self, class: usize) -> Option<u32> {
        let number = match self.classes[class].growing {
            Some(number) => number,
            None => self.new_page(class)?,
        };
        self.enlarge(number);
        self.list(number);
        Some(number)
    }

    /// A page without places.
    fn new_page(&mut self, class: usize) -> Option<u32> {
        let number = match self.unused.pop() {
            Some(number) => number,
            None if self.pages.end() == MOST_PAGES => return None,
            None => {
                self.areas.push(Area::default());
                self.pages.push(Page::NONE);
                u32::try_from(self.pages.end() - 1).expect("fewer than MOST_PAGES")
            }
        };
        self.areas[number as usize].size = u16::try_from(size_of_class(class)).expect("LONGEST fits");
        self.pages[number] = Page {
            class: u8::try_from(class).expect("fewer than 256 classes"),
            ..Page::NONE
        };
        let class = &mut self.classes[class];
        class.pages += 1;
        if class.pages == 1 {
            class.growing = Some(number);
        }
        Some(number)
    }

    /// Gives a page that grows twice the places, and any other all that it can have.
    fn enlarge(&mut self, number: u32) {
        let page = &mut self.pages[number];
        let area = &mut self.areas[number as usize];
        let size = usize::from(area.size);
        let class = &mut self.classes[usize::from(page.class)];
        let most = class.places;
        let before = area.bytes.len();
        let wanted = (before * 2).max(FIRST_BYTES.max(size));
        if class.growing == Some(number) && wanted < self.page_bytes / 2 {
            area.enlarge(wanted);
        } else if area.bytes.is_empty() {
            let spare = self.spare.pop();
            area.bytes = spare.unwrap_or_else(|| vec![0; self.page_bytes].into_boxed_slice());
        } else {
            area.enlarge(self.page_bytes);
        }
        page.places = u16::try_from((area.bytes.len() / size).min(most)).expect("MOST_PLACES fits");
        self.held += area.bytes.len() - before;
        if usize::from(page.places) == most {
            class.growing = None;
        }
    }

    /// Adds a page to the list of those with a vacant place.
    fn list(&mut self, number: u32) {
        let page = &mut self.pages[number];
        let open = &mut self.classes[usize::from(page.class)].open;
        page.listed = u32::try_from(open.len()).expect("fewer than MOST_PAGES");
        open.push(number);
    }

    fn unlist(&mut self, number: u32) {
        let page = &mut self.pages[number];
        let at = std::mem::replace(&mut page.listed, UNLISTED);
        if at != UNLISTED {
            let open = &mut self.classes[usize::from(page.class)].open;
            open.swap_remove(at as usize);
            if let Some(&moved) = open.get(at as usize) {
                self.pages[moved].listed = at;
            }
        }
    }

    /// Gives an empty page up.
    fn close_page(&mut self, number: u32) {
        self.unlist(number);
        let page = std::mem::replace(&mut self.pages[number], Page::NONE);
        let bytes = std::mem::take(&mut self.areas[number as usize]).bytes;
        self.unused.push(number);
        self.held -= bytes.len();
        let class = &mut self.classes[usize::from(page.class)];
        class.pages -= 1;
        if class.growing == Some(number) {
            class.growing = None;
        }
        if bytes.len() == self.page_bytes && self.spare.len() < SPARE_PAGES {
            self.spare.push(bytes);
        }
    }

    /// Whether a page could go if what is occupied were held together.
    fn is_loose(&self, class: usize) -> bool {
        let Class {
            places, pages, used, ..
        } = self.classes[class];
        pages > 1 && pages * places - used > places + used / TOLERATED
    }

    /// Begins to evacuate the emptiest of some pages.
    fn evacuate_one(&mut self, class: usize) {
        let open = &self.classes[class].open;
        let step = (open.len() / CANDIDATES).max(1);
        let candidates = open.iter().step_by(step).copied();
        let emptiest = candidates.min_by_key(|&number| self.pages[number].used);
        if let Some(page) = emptiest {
            self.unlist(page);
            self.evacuation = Some(Evacuation { page, next: 0 });
        }
    }

    /// Bytes of all pages, those in reserve included.
    #[cfg(test)]
    pub(super) fn memory(&self) -> usize {
        let pages = self.areas.iter().map(|area| &area.bytes).chain(&self.spare);
        pages.map(|bytes| bytes.len()).sum()
    }

    /// Panics if the structure contradicts itself; gives the number of occupied places. For tests and fuzzers.
    pub(super) fn validate(&self) -> usize {
        let mut classes = vec![(0, 0, 0); CLASSES];
        let mut unused = 0;
        assert_eq!(self.areas.len(), self.pages.end(), "areas of pages");
        for ((number, page), area) in (0u32..).zip(self.pages.iter()).zip(&self.areas) {
            if area.bytes.is_empty() {
                assert!(self.unused.contains(&number), "page {number} is lost");
                unused += 1;
                continue;
            }
            let class = usize::from(page.class);
            classes[class].0 += 1;
            classes[class].1 += usize::from(page.used);
            classes[class].2 += usize::from(page.listed != UNLISTED);
            let most = self.classes[usize::from(page.class)].places;
            if self.classes[class].growing == Some(number) {
                assert!(usize::from(page.places) < most, "page {number} has grown");
            } else {
                assert_eq!(area.bytes.len(), self.page_bytes, "bytes of page {number}");
                assert_eq!(usize::from(page.places), most, "places of page {number}");
            }
            assert!(
                usize::from(page.places) * usize::from(area.size) <= area.bytes.len(),
                "page {number} has more places than bytes"
            );
            assert_eq!(usize::from(area.size), size_of_class(class), "page {number}");
            assert!(page.used > 0 && page.begun <= page.places, "page {number}");
            let vacant = (0..page.begun).filter(|&place| is_vacant(area.place(place)));
            assert_eq!(
                vacant.count(),
                usize::from(page.begun - page.used),
                "vacant places of page {number}"
            );
            let mut chain = 0;
            let mut place = page.vacant;
            while place != NONE {
                chain += 1;
                assert!(is_vacant(area.place(place)), "chain of page {number}");
                place = next_vacant(area.place(place));
            }
            assert_eq!(chain, page.begun - page.used, "chain of page {number}");
            let is_evacuated = self
                .evacuation
                .is_some_and(|evacuation| evacuation.page == number);
            assert_eq!(
                page.listed != UNLISTED,
                page.used < page.places && !is_evacuated,
                "whether page {number} is open"
            );
            if page.listed != UNLISTED {
                assert_eq!(self.classes[class].open[page.listed as usize], number);
            }
        }
        assert_eq!(unused, self.unused.len(), "a number is twice among the unused");
        let held: usize = self.areas.iter().map(|area| area.bytes.len()).sum();
        let of_class = |(class, of): (usize, &(usize, usize, usize))| of.1 * size_of_class(class);
        let occupied: usize = classes.iter().enumerate().map(of_class).sum();
        assert_eq!(
            (self.held, self.occupied),
            (held, occupied),
            "bytes held, occupied"
        );
        for (class, &(pages, used, open)) in self.classes.iter().zip(&classes) {
            assert_eq!((class.pages, class.used, class.open.len()), (pages, used, open));
            // Or a page that is evacuated might be enlarged and given out again.
            assert!(class.growing.is_none() || pages == 1, "the only page grows");
        }
        if let Some(Evacuation { page, next }) = self.evacuation {
            let area = &self.areas[page as usize];
            let page = &self.pages[page];
            assert!(page.used > 0 && next < page.begun, "nothing is left to evacuate");
            assert!((0..next).all(|place| is_vacant(area.place(place))));
        }
        assert!(self.spare.iter().all(|bytes| bytes.len() == self.page_bytes));
        classes.iter().map(|&(_, used, _)| used).sum()
    }
}

impl Class {
    fn new(class: usize, page_bytes: usize) -> Self {
        let places = (page_bytes / size_of_class(class)).min(MOST_PLACES);
        Class {
            places,
            cost: page_bytes.div_ceil(places) as u64,
            open: Vec::new(),
            pages: 0,
            used: 0,
            growing: None,
        }
    }
}

/// Makes a place vacant. The smallest class holds this.
fn vacate(place: &mut [u8], next: u16) {
    place[2..4].copy_from_slice(&VACANT);
    place[4..6].copy_from_slice(&next.to_le_bytes());
}

fn is_vacant(place: &[u8]) -> bool {
    place[2..4] == VACANT
}

/// The vacant place after this one, which is vacant.
fn next_vacant(place: &[u8]) -> u16 {
    u16::from_le_bytes([place[4], place[5]])
}

impl Place {
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "the lower bits")]
    const fn parts(self) -> (u32, u16) {
        (self.0 >> PLACE_BITS, self.0 as u16 & (MOST_PLACES as u16 - 1))
    }
}

impl Area {
    #[inline]
    fn place(&self, place: u16) -> &[u8] {
        &self.bytes[self.range(place)]
    }

    #[inline]
    fn place_mut(&mut self, place: u16) -> &mut [u8] {
        let range = self.range(place);
        &mut self.bytes[range]
    }

    #[inline]
    fn range(&self, place: u16) -> std::ops::Range<usize> {
        let from = usize::from(place) * usize::from(self.size);
        from..from + usize::from(self.size)
    }

    fn enlarge(&mut self, len: usize) {
        let mut bytes = std::mem::take(&mut self.bytes).into_vec();
        bytes.reserve_exact(len - bytes.len());
        bytes.resize(len, 0);
        self.bytes = bytes.into_boxed_slice();
    }
}

impl Page {
    const NONE: Page = Page {
        class: 0,
        places: 0,
        used: 0,
        begun: 0,
        vacant: NONE,
        listed: UNLISTED,
    };
}

#[cfg(test)]
mod tests;
