// transform: the discrete Fourier transform of a complex line, lane by lane (spectrum.h). spectra: products of two.
//
// A transform of p * m vectors is m transforms of p vectors that lie m apart, times factors, and then p transforms of m
// neighbours. All in place: frequencies come out in an order that only the way back has to know.

struct ComplexLanes {
    f32v re, im;
};

inline ComplexLanes operator+(ComplexLanes a, ComplexLanes b) { return {a.re + b.re, a.im + b.im}; }
inline ComplexLanes operator-(ComplexLanes a, ComplexLanes b) { return {a.re - b.re, a.im - b.im}; }
inline ComplexLanes times_i(ComplexLanes a) { return {-a.im, a.re}; }
inline ComplexLanes operator*(ComplexLanes a, const float* factor) {
    return {a.re * factor[0] - a.im * factor[1], a.re * factor[1] + a.im * factor[0]};
}

// Of `radix` vectors, in place; roots[2 k] and [2 k + 1]: exp(-2 pi i k / radix).
template <int radix>
inline void small_transform(ComplexLanes* x, const float* roots) {
    if constexpr (radix == 2) {
        const ComplexLanes first = x[0];
        x[0] = first + x[1], x[1] = first - x[1];
    } else if constexpr (radix == 4) {
        const ComplexLanes even = x[0] + x[2], odd = x[1] + x[3], low = x[0] - x[2], high = times_i(x[1] - x[3]);
        x[0] = even + odd, x[1] = low - high, x[2] = even - odd, x[3] = low + high;
    } else {  // odd: entries k and radix - k have conjugate factors
        constexpr int half = radix / 2;
        const ComplexLanes first = x[0];
        ComplexLanes sum[half], gap[half];
        UNROLL for (int k = 0; k < half; ++k) {
            sum[k] = x[k + 1] + x[radix - 1 - k], gap[k] = x[k + 1] - x[radix - 1 - k];
            x[0] = x[0] + sum[k];
        }
        UNROLL for (int q = 1; q <= half; ++q) {
            ComplexLanes even = first, odd = {};
            UNROLL for (int k = 0; k < half; ++k) {
                const float* root = roots + 2 * ((k + 1) * q % radix);
                even.re += sum[k].re * root[0], even.im += sum[k].im * root[0];
                odd.re += gap[k].re * root[1], odd.im += gap[k].im * root[1];
            }
            x[q] = even + times_i(odd), x[radix - q] = even - times_i(odd);
        }
    }
}

// One stage: of every `part`-th vector, in blocks of radix * part.
template <int radix, bool last>
void run_stage(float* re, float* im, std::size_t vectors, std::size_t part, const TransformStage& stage) {
    constexpr std::size_t lanes = kLanes<float>;
    for (std::size_t block = 0; block < vectors; block += radix * part) {
        const float* factor = stage.factors;
        for (std::size_t at = block; at < block + part; ++at, factor += 2 * (radix - 1)) {
            ComplexLanes x[radix];
            UNROLL for (int k = 0; k < radix; ++k) {
                const std::size_t from = (at + static_cast<std::size_t>(k) * part) * lanes;
                x[k] = {load<f32v>(re + from), load<f32v>(im + from)};
            }
            small_transform<radix>(x, stage.roots);
            UNROLL for (int k = 0; k < radix; ++k) {
                const std::size_t to = (at + static_cast<std::size_t>(k) * part) * lanes;
                const ComplexLanes turned = last || k == 0 ? x[k] : x[k] * (factor + 2 * (k - 1));
                store(re + to, turned.re);
                store(im + to, turned.im);
            }
        }
    }
}

template <int radix>
inline bool run_if(float* re, float* im, std::size_t vectors, std::size_t part, const TransformStage& stage) {
    if (stage.radix != radix) return false;
    if (part == 1) {
        run_stage<radix, true>(re, im, vectors, part, stage);
    } else {
        run_stage<radix, false>(re, im, vectors, part, stage);
    }
    return true;
}

void transform(float* re, float* im, std::size_t vectors, const TransformStage* stages, std::size_t count) {
    std::size_t part = vectors;
    for (const TransformStage* stage = stages; stage < stages + count; ++stage) {
        part /= stage->radix;
        run_if<4>(re, im, vectors, part, *stage) || run_if<2>(re, im, vectors, part, *stage) ||
            run_if<3>(re, im, vectors, part, *stage) || run_if<5>(re, im, vectors, part, *stage) ||
            run_if<7>(re, im, vectors, part, *stage) || run_if<11>(re, im, vectors, part, *stage) ||
            run_if<13>(re, im, vectors, part, *stage);
    }
}

// Lane l of the result is lane (l + by) % lanes of x.
inline f32v rotate(f32v x, std::uint32_t by) {
#if defined(__AVX512F__)
    const __m512i first = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    return (f32v)_mm512_permutexvar_ps(_mm512_add_epi32(first, _mm512_set1_epi32(static_cast<int>(by))), (__m512)x);
#elif defined(__AVX2__)
    const __m256i first = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return (f32v)_mm256_permutevar8x32_ps((__m256)x, _mm256_add_epi32(first, _mm256_set1_epi32(static_cast<int>(by))));
#else
    float twice[2 * kLanes<float>];
    store(twice, x);
    store(twice + kLanes<float>, x);
    return load<f32v>(twice + by);
#endif
}

// Adds up lanes below `end`, and the others.
inline void add_parts(const f64v* lanes, std::size_t end, double* low, double* high) {
    double lane[kLanes<float>];
    store(lane, lanes[0]);
    store(lane + kLanes<double>, lanes[1]);
    *low = *high = 0;
    for (std::size_t i = 0; i < kLanes<float>; ++i) *(i < end ? low : high) += lane[i];
}

// Float32 lanes add so many lines, then float64 ones go on.
constexpr std::size_t kSpectrumRun = 16;

// `frequencies` vectors from the start of the lines on, and `residues` rotations: many sums at a time.
template <int residues, int frequencies>
inline void run_spectra(const float* x, const float* y, std::size_t lines, std::size_t stride,
                        const std::uint32_t* residue, std::size_t count, double* out) {
    constexpr std::size_t lanes = kLanes<float>;
    f64v wide[frequencies][residues][2][2] = {};
    for (std::size_t run = 0; run < lines; run += kSpectrumRun) {
        f32v re[frequencies][residues] = {}, im[frequencies][residues] = {};
        for (std::size_t line = run; line < lines && line < run + kSpectrumRun; line += 2) {
            UNROLL for (int f = 0; f < frequencies; ++f) {
                const std::size_t real = line * stride + static_cast<std::size_t>(f) * lanes, imaginary = real + stride;
                const f32v x_re = load<f32v>(x + real), x_im = load<f32v>(x + imaginary);
                const f32v y_re = load<f32v>(y + real), y_im = load<f32v>(y + imaginary);
                UNROLL for (int r = 0; r < residues; ++r) {
                    const f32v turned_re = rotate(y_re, residue[r]), turned_im = rotate(y_im, residue[r]);
                    re[f][r] += x_re * turned_re, im[f][r] += x_re * turned_im;
                    re[f][r] += x_im * turned_im, im[f][r] -= x_im * turned_re;
                }
            }
        }
        UNROLL for (int f = 0; f < frequencies; ++f) {
            UNROLL for (int r = 0; r < residues; ++r) {
                add_wide(wide[f][r][0], re[f][r]);
                add_wide(wide[f][r][1], im[f][r]);
            }
        }
    }
    for (int f = 0; f < frequencies; ++f) {
        for (int r = 0; r < residues; ++r) {
            double* to = out + 4 * (static_cast<std::size_t>(f) * count + static_cast<std::size_t>(r));
            add_parts(wide[f][r][0], lanes - residue[r], to, to + 2);
            add_parts(wide[f][r][1], lanes - residue[r], to + 1, to + 3);
        }
    }
}

template <int residues>
inline void run_frequencies(const float* x, const float* y, std::size_t lines, std::size_t stride, std::size_t vectors,
                            const std::uint32_t* residue, std::size_t count, double* out) {
    constexpr int some = 4 / residues;
    constexpr std::size_t lanes = kLanes<float>;
    std::size_t at = 0;
    for (; at + some <= vectors; at += some) {
        run_spectra<residues, some>(x + at * lanes, y + at * lanes, lines, stride, residue, count,
                                    out + 4 * at * count);
    }
    for (; at < vectors; ++at) {
        run_spectra<residues, 1>(x + at * lanes, y + at * lanes, lines, stride, residue, count, out + 4 * at * count);
    }
}

void spectra(const float* x, const float* y, std::size_t lines, std::size_t stride, std::size_t vectors,
             const std::uint32_t* residue, std::size_t count, double* out) {
    std::size_t r = 0;
    for (; r + 4 <= count; r += 4) run_frequencies<4>(x, y, lines, stride, vectors, residue + r, count, out + 4 * r);
    for (; r + 2 <= count; r += 2) run_frequencies<2>(x, y, lines, stride, vectors, residue + r, count, out + 4 * r);
    for (; r < count; ++r) run_frequencies<1>(x, y, lines, stride, vectors, residue + r, count, out + 4 * r);
}
